//! Copies a whole store into another, empty one, of either kind.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{
    Store, StoreError,
    error::unusable,
    file::File,
    lead::NOW,
    mark,
    sql::{self, Connection, Error, Param, any::Any, params},
    threads::Memory,
};

/// Rows that are read and written at once.
const AT_ONCE: usize = 5_000;
/// Pieces that are read while one is written.
const AHEAD: usize = 2;

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
const COUNTERS: &str = "counters";
const INBOX: &str = "inbox";
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

/// What is on its way into the target.
enum Piece {
    /// Rows of a table, and how they are put there.
    Rows {
        table: &'static str,
        insert: String,
        rows: Rows,
    },
    /// That was all.
    End,
}

type Pieces = mpsc::Sender<Piece>;

impl Store {
    /// Copies all of it into an empty store and compares counts. Returns how many rows there were. No daemon may use
    /// either meanwhile. A copy that breaks off leaves the target empty.
    pub async fn copy_into(
        &self,
        target: &Self,
        mut progress: impl FnMut(Copied),
    ) -> Result<u64, StoreError> {
        self.must_not_share_inbox(target)?;
        let locks = (self.lock()?, target.lock()?);
        self.must_be_at_rest().await?;
        target.must_be_empty().await?;
        let copied = in_one(&target.main, async |pieces| {
            let mut all = 0;
            for (table, order) in TABLES {
                all += self
                    .copy_table(target, table, order, pieces, &mut progress)
                    .await?;
            }
            all += self.copy_counters(pieces).await?;
            // The inbox of a file is a file of its own, which must be whole before the other is.
            all += if target.is_shared() {
                self.copy_inbox(pieces, &mut progress).await?
            } else {
                let inbox = &target.inbox.file;
                target.empty_inbox().await?;
                in_one(inbox, async |pieces| {
                    self.copy_inbox(pieces, &mut progress).await
                })
                .await?
            };
            Ok(all)
        })
        .await;
        drop(locks);
        copied
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
        let shared = Some(INBOX).filter(|_| self.is_shared());
        for table in TABLES.map(|(table, _)| table).into_iter().chain(shared) {
            let sql = format!("SELECT count(*) FROM {table}");
            let count = move |conn: &Connection| conn.query_row(&sql, &[], |row| row.get(0));
            let rows: u64 = self.main.read(count).await?;
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

    /// Two files that differ only in the last part of their names would have one file beside them.
    fn must_not_share_inbox(&self, target: &Self) -> Result<(), StoreError> {
        let (own, other) = (self.inbox.file.location(), target.inbox.file.location());
        if !own.is_same_file(other) {
            return Ok(());
        }
        Err(unusable(
            target.main.location(),
            format!("it would share {own} with the other store, give it another name or folder"),
            None,
        ))
    }

    /// Takes out what a copy that was cut off left in the file beside an empty one. Of a daemon it cannot be: the first
    /// thing that one writes is when it started.
    async fn empty_inbox(&self) -> Result<(), StoreError> {
        let file = &self.inbox.file;
        file.write_alone(|session| session.conn.execute_batch("DELETE FROM inbox"))
            .await
    }

    async fn copy_table(
        &self,
        target: &Self,
        table: &'static str,
        order: &'static str,
        pieces: &Pieces,
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
            send(pieces, table, insert, rows).await?;
            copied += count as u64;
            progress(Copied {
                table,
                rows: copied,
            });
            if count < AT_ONCE {
                return Ok(copied);
            }
        }
    }

    /// These a new store has a few of already, the mark among them where something was left in its inbox.
    async fn copy_counters(&self, pieces: &Pieces) -> Result<u64, StoreError> {
        let select = "SELECT name, value FROM counters \
                      UNION ALL SELECT 'decided-upto', 0 \
                      WHERE NOT EXISTS (SELECT 1 FROM counters WHERE name = 'decided-upto') \
                      ORDER BY name LIMIT $1 OFFSET $2";
        let rows = self.main.read(|conn| read(conn, select, 2, 0)).await?;
        let count = rows.len() as u64;
        let insert = "INSERT INTO counters (name, value) VALUES ($1, $2) \
                      ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        send(pieces, COUNTERS, insert.to_owned(), rows).await?;
        Ok(count)
    }

    /// Rows that are decided may still stand in a file; behind the mark they are numbered without a gap.
    async fn copy_inbox(
        &self,
        pieces: &Pieces,
        progress: &mut impl FnMut(Copied),
    ) -> Result<u64, StoreError> {
        let (mark, mut floor) = self
            .main
            .read(|conn| Ok((mark::get(conn)?, mark::floor(conn)?)))
            .await?;
        let mut copied: u64 = 0;
        loop {
            let rows = self
                .inbox
                .file
                .read(move |conn| waiting(conn, floor))
                .await?;
            let Some((last, _)) = rows.last() else {
                return Ok(copied);
            };
            floor = *last;
            let count = rows.len() as u64;
            let first = mark + 1 + i64::try_from(copied).unwrap_or(i64::MAX);
            let numbered = (first..).zip(rows).map(|(seq, (_, mut row))| {
                row.insert(0, Any::Integer(seq));
                row
            });
            let insert = insert(INBOX, &["seq", "received_at", "body"].map(str::to_owned));
            send(pieces, INBOX, insert, numbered.collect()).await?;
            copied += count;
            progress(Copied {
                table: INBOX,
                rows: copied,
            });
        }
    }
}

/// Fills a database in one transaction.
async fn in_one<M: Memory>(
    file: &File<M>,
    fill: impl AsyncFnOnce(&Pieces) -> Result<u64, StoreError>,
) -> Result<u64, StoreError> {
    let (pieces, arriving) = mpsc::channel(AHEAD);
    let writing = file.write_alone(move |session| receive(&session.conn, arriving));
    let filling = async move {
        let rows = fill(&pieces).await?;
        pieces
            .send(Piece::End)
            .await
            .map_err(|_| StoreError::Stopped)?;
        Ok(rows)
    };
    match tokio::join!(filling, writing) {
        (Ok(rows), Ok(())) => Ok(rows),
        // What was sent found nobody any more: the other side says why.
        (Err(StoreError::Stopped) | Ok(_), Err(why)) | (Err(why), _) => Err(why),
    }
}

async fn send(
    pieces: &Pieces,
    table: &'static str,
    insert: String,
    rows: Rows,
) -> Result<(), StoreError> {
    let piece = Piece::Rows {
        table,
        insert,
        rows,
    };
    pieces.send(piece).await.map_err(|_| StoreError::Stopped)
}

/// Puts down what arrives. Whoever sends and gives up before the end has all of it taken back.
fn receive(conn: &Connection, mut pieces: mpsc::Receiver<Piece>) -> sql::Result<()> {
    if conn.is_shared() {
        // Reading the next piece may take longer than others would have to wait here.
        conn.execute_batch("SET LOCAL idle_in_transaction_session_timeout = 0")?;
    }
    let mut written: BTreeMap<&str, u64> = BTreeMap::new();
    while let Some(piece) = pieces.blocking_recv() {
        let Piece::Rows {
            table,
            insert,
            rows,
        } = piece
        else {
            check(conn, &written)?;
            return number_on(conn);
        };
        write(conn, &insert, &rows)?;
        *written.entry(table).or_default() += rows.len() as u64;
    }
    Err(Error::Check("the copy broke off".to_owned()))
}

fn check(conn: &Connection, written: &BTreeMap<&str, u64>) -> sql::Result<()> {
    for (table, rows) in written.iter().filter(|(table, _)| **table != COUNTERS) {
        let sql = format!("SELECT count(*) FROM {table}");
        let found: u64 = conn.query_row(&sql, &[], |row| row.get(0))?;
        if found != *rows {
            return Err(Error::Check(format!(
                "{table} has {found} rows and not {rows}: somebody else writes to it"
            )));
        }
    }
    Ok(())
}

/// A server goes on numbering behind what was copied.
fn number_on(conn: &Connection) -> sql::Result<()> {
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
}

/// Rows of the inbox behind `floor`: number, and the rest.
fn waiting(conn: &Connection, floor: i64) -> sql::Result<Vec<(i64, Vec<Any>)>> {
    conn.prepare_cached(
        "SELECT seq, received_at, body FROM inbox WHERE seq > $1 ORDER BY seq LIMIT $2",
    )?
    .query_map(params![floor, AT_ONCE], |row| {
        Ok((row.get(0)?, vec![row.get(1)?, row.get(2)?]))
    })?
    .collect()
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
