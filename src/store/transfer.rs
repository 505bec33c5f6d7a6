//! Copies a whole store into another, empty one, of either kind.

use super::{
    Store, StoreError,
    error::unusable,
    lead::NOW,
    mark,
    sql::{self, Connection, Param, any::Any, params},
    threads::Session,
};

/// Rows that are read and written at once.
const AT_ONCE: usize = 5_000;

/// Every table that both kinds have, and the column by which it is read in order.
const TABLES: [(&str, &str); 28] = [
    ("jobs", "id"),
    ("runs", "id"),
    ("decisions", "id"),
    ("incidents", "id"),
    ("reads", "run"),
    ("evidence", "run"),
    ("causes", "key"),
    ("folds", "cause, receiver"),
    ("digests", "receiver, first_start"),
    ("releases", "key"),
    ("healed", "key"),
    ("troubles", "key"),
    ("watches", "key"),
    ("gaps", "key"),
    ("silences", "id"),
    ("hidden", "key, receiver"),
    ("notifications", "id"),
    ("notification_incidents", "notification_id, incident_id"),
    ("outbox", "id"),
    ("attempts", "id"),
    ("receivers", "name"),
    ("meta", "key"),
    ("service_days", "day, service, verdict"),
    ("run_days", "day, verdict"),
    ("stops", "run"),
    ("actions", "id"),
    ("parked", "seq"),
    ("poison", "seq"),
];
/// Those whose rows the server numbers.
const NUMBERED: [&str; 7] = [
    "jobs",
    "runs",
    "decisions",
    "notifications",
    "outbox",
    "attempts",
    "actions",
];

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The table that is being copied.
    pub table: &'static str,
    /// Its rows so far.
    pub rows: u64,
}

type Rows = Vec<Vec<Any>>;

impl Store {
    /// Copies all of it into an empty store and compares counts. Returns how many rows there were. No daemon may use
    /// either meanwhile; a copy that broke off leaves a store that is neither empty nor whole.
    pub async fn copy_into(
        &self,
        target: &Self,
        mut progress: impl FnMut(Copied),
    ) -> Result<u64, StoreError> {
        self.must_be_at_rest().await?;
        target.must_be_empty().await?;
        let mut all = 0;
        for (table, order) in TABLES {
            all += self.copy_table(target, table, order, &mut progress).await?;
        }
        all += self.copy_counters(target).await?;
        all += self.copy_inbox(target, &mut progress).await?;
        target.number_on().await?;
        Ok(all)
    }

    async fn must_be_at_rest(&self) -> Result<(), StoreError> {
        let led = |conn: &Connection| {
            if !conn.is_shared() {
                return Ok(0);
            }
            let sql = format!("SELECT count(*) FROM lead WHERE until > {NOW}");
            conn.query_row(&sql, &[], |row| row.get::<u64>(0))
        };
        match self.main.read(led).await? {
            0 => Ok(()),
            _ => Err(unusable(
                self.main.location(),
                "a daemon uses it, stop all replicas first",
                None,
            )),
        }
    }

    async fn must_be_empty(&self) -> Result<(), StoreError> {
        self.must_be_at_rest().await?;
        for (table, _) in TABLES {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: u64 = self
                .main
                .read(move |conn| conn.query_row(&sql, &[], |row| row.get(0)))
                .await?;
            if rows > 0 {
                return Err(unusable(
                    self.main.location(),
                    format!("it is not empty ({table} has {rows} rows), give a new one"),
                    None,
                ));
            }
        }
        Ok(())
    }

    async fn copy_table(
        &self,
        target: &Self,
        table: &'static str,
        order: &'static str,
        progress: &mut impl FnMut(Copied),
    ) -> Result<u64, StoreError> {
        let columns = self.main.read(move |conn| columns(conn, table)).await?;
        let mut copied = 0;
        loop {
            let names = columns.join(", ");
            let select = format!("SELECT {names} FROM {table} ORDER BY {order} LIMIT $1 OFFSET $2");
            let (width, offset) = (columns.len(), copied);
            let mut rows: Rows = self
                .main
                .read(move |conn| read(conn, &select, width, offset))
                .await?;
            let count = rows.len();
            if target.main.location().is_file() && ["parked", "poison"].contains(&table) {
                renumber(table, copied, &mut rows);
            }
            let insert = insert(table, &columns);
            target
                .main
                .write_alone(move |session| write(&session.conn, &insert, &rows))
                .await?;
            copied += count as u64;
            progress(Copied {
                table,
                rows: copied,
            });
            if count < AT_ONCE {
                break;
            }
        }
        target.must_have(table, copied).await?;
        Ok(copied)
    }

    async fn must_have(&self, table: &'static str, copied: u64) -> Result<(), StoreError> {
        let sql = format!("SELECT count(*) FROM {table}");
        let found: u64 = self
            .main
            .read(move |conn| conn.query_row(&sql, &[], |row| row.get(0)))
            .await?;
        if found == copied {
            return Ok(());
        }
        Err(unusable(
            self.main.location(),
            format!("{table} has {found} rows and not {copied}: somebody else writes to it"),
            None,
        ))
    }

    /// These a new store has a few of already.
    async fn copy_counters(&self, target: &Self) -> Result<u64, StoreError> {
        let counters: Vec<(String, i64)> = self
            .main
            .read(|conn| {
                conn.prepare_cached("SELECT name, value FROM counters")?
                    .query_map(&[], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        let count = counters.len() as u64;
        target
            .main
            .write_alone(move |session| {
                for (name, value) in counters {
                    session.conn.put(
                        "INSERT INTO counters (name, value) VALUES ($1, $2) \
                         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                        params![name, value],
                    )?;
                }
                Ok(())
            })
            .await?;
        Ok(count)
    }

    /// Rows that are decided may still stand in a file; behind the mark they are numbered without a gap.
    async fn copy_inbox(
        &self,
        target: &Self,
        progress: &mut impl FnMut(Copied),
    ) -> Result<u64, StoreError> {
        let (mark, mut floor) = self
            .main
            .read(|conn| Ok((mark::get(conn)?, mark::floor(conn)?)))
            .await?;
        let mut copied: u64 = 0;
        loop {
            let rows: Vec<(i64, i64, String)> = self
                .inbox
                .file
                .read(move |conn| {
                    conn.prepare_cached(
                        "SELECT seq, received_at, body FROM inbox WHERE seq > $1 ORDER BY seq LIMIT $2",
                    )?
                    .query_map(params![floor, AT_ONCE], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })?
                    .collect()
                })
                .await?;
            let Some(last) = rows.last() else {
                break;
            };
            floor = last.0;
            let first = mark + 1 + i64::try_from(copied).unwrap_or(i64::MAX);
            copied += rows.len() as u64;
            target
                .inbox
                .file
                .write_alone(move |session| {
                    for (seq, (_, received_at, body)) in (first..).zip(&rows) {
                        session.conn.put(
                            "INSERT INTO inbox (seq, received_at, body) VALUES ($1, $2, $3)",
                            params![seq, received_at, body],
                        )?;
                    }
                    Ok(())
                })
                .await?;
            progress(Copied {
                table: "inbox",
                rows: copied,
            });
        }
        Ok(copied)
    }

    /// A server goes on numbering behind what was copied.
    async fn number_on(&self) -> Result<(), StoreError> {
        let go_on = |session: &mut Session<super::jobs::Jobs>| {
            let conn = &session.conn;
            if !conn.is_shared() {
                return Ok(());
            }
            for table in NUMBERED {
                conn.execute_batch(&format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
                ))?;
            }
            conn.execute_batch(
                "SELECT setval(pg_get_serial_sequence('inbox', 'seq'), greatest(\
                 (SELECT coalesce(max(seq), 0) FROM inbox), (SELECT coalesce(max(seq), 0) FROM parked), \
                 (SELECT coalesce(max(value), 0) FROM counters WHERE name = 'decided-upto')) + 1, false)",
            )
        };
        self.main.write_alone(go_on).await
    }
}

/// In a file these numbers are up to the mark, and new rows get those behind it.
fn renumber(table: &str, copied: u64, rows: &mut Rows) {
    let copied = i64::try_from(copied).unwrap_or(0);
    for (index, row) in (copied..).zip(rows) {
        if let Some(seq) = row.first_mut() {
            *seq = Any::Integer(-2 * index - 1 - i64::from(table == "parked"));
        }
    }
}

/// Columns of a table; both kinds have the same, `seq` first where there is one.
fn columns(conn: &Connection, table: &str) -> sql::Result<Vec<String>> {
    let sql = if conn.is_shared() {
        "SELECT column_name::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
    } else {
        "SELECT name FROM pragma_table_info($1) ORDER BY cid"
    };
    conn.prepare_cached(sql)?
        .query_map(params![table], |row| row.get(0))?
        .collect()
}

fn read(conn: &Connection, select: &str, width: usize, offset: u64) -> sql::Result<Rows> {
    conn.prepare_cached(select)?
        .query_map(params![AT_ONCE, offset], |row| {
            (0..width).map(|column| row.get(column)).collect()
        })?
        .collect()
}

fn insert(table: &str, columns: &[String]) -> String {
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    format!(
        "INSERT INTO {table} ({}) VALUES ({})",
        columns.join(", "),
        places.join(", ")
    )
}

fn write(conn: &Connection, insert: &str, rows: &Rows) -> sql::Result<()> {
    for row in rows {
        let values: Vec<&dyn Param> = row.iter().map(|value| value as &dyn Param).collect();
        conn.put(insert, &values)?;
    }
    Ok(())
}
