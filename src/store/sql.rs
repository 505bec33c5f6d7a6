//! One narrow way to talk SQL, to SQLite or to PostgreSQL: connections, statements, rows and errors, called as
//! rusqlite calls them. All else in the store is written once, for both.
//!
//! Integers are `bigint`, flags `bigint` 0 or 1, times epoch milliseconds, bodies text. Where the two need other
//! words for the same, [`dialect`] has them.

pub(super) mod any;
mod dialect;
pub(super) mod error;
pub(super) mod postgres;
mod value;

use std::{borrow::Cow, vec};

pub(super) use self::{
    error::{Error, OptionalExtension, Result},
    value::{FromColumn, Param},
};
use self::{postgres::Client, value::Bound};

/// A connection to either.
pub(super) enum Connection {
    /// To a file.
    Sqlite(rusqlite::Connection),
    /// To a server.
    Postgres(Box<Client>),
}

/// A prepared statement.
pub(super) enum Statement<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(&'c Client, Box<str>),
}

/// A row of an answer.
pub(super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

/// Rows of an answer.
pub(super) enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres(
        vec::IntoIter<tokio_postgres::Row>,
        Option<tokio_postgres::Row>,
    ),
}

/// Rows of an answer, read.
pub(super) struct Mapped<'s, F> {
    rows: Rows<'s>,
    read: F,
}

/// Values for a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::store::sql::Param),*]
    };
}
pub(super) use params;

impl Connection {
    /// Whether it is one to a server, which several replicas share.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Prepares a statement, or takes it from those that are.
    pub(super) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        Ok(match self {
            Self::Sqlite(conn) => Statement::Sqlite(prepare(conn, sql)?),
            Self::Postgres(client) => Statement::Postgres(client, sql.into()),
        })
    }

    /// Does something whose outcome matters only to the transaction as a whole: a server is told of many such at
    /// once, before it is asked something or at the commit.
    pub(super) fn put(&self, sql: &str, values: &[&dyn Param]) -> Result<()> {
        match self {
            Self::Sqlite(conn) => {
                let mut statement = prepare(conn, sql)?;
                statement.execute(bind(values))?;
                Ok(())
            }
            Self::Postgres(client) => client.put(sql, values),
        }
    }

    /// Inserts a row of a table that numbers its rows; returns the number, or `None` when nothing was inserted.
    pub(super) fn insert(&self, sql: &str, values: &[&dyn Param]) -> Result<Option<i64>> {
        match self {
            Self::Sqlite(conn) => {
                let inserted = prepare(conn, sql)?.execute(bind(values))?;
                Ok((inserted > 0).then(|| conn.last_insert_rowid()))
            }
            Self::Postgres(client) => {
                let rows = client.query(&format!("{sql} RETURNING id"), values)?;
                rows.first()
                    .map(|row| Row::Postgres(row).get(0))
                    .transpose()
            }
        }
    }

    /// Runs statements without values.
    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(conn) => Ok(conn.execute_batch(sql)?),
            Self::Postgres(client) => client.batch(sql),
        }
    }

    /// Asks for one row.
    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        values: &[&dyn Param],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(values, read)
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => self.step("BEGIN IMMEDIATE"),
            Self::Postgres(client) => client.begin("BEGIN"),
        }
    }

    /// Makes what was done since [`Self::begin`] last.
    pub(super) fn commit(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => self.step("COMMIT"),
            Self::Postgres(client) => client.commit(),
        }
    }

    /// Takes back what was done since [`Self::begin`].
    pub(super) fn roll_back(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => self.step("ROLLBACK"),
            Self::Postgres(client) => client.roll_back(),
        }
    }

    /// Marks a place in the transaction.
    pub(super) fn set_savepoint(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => self.step("SAVEPOINT work"),
            Self::Postgres(client) => client.put("SAVEPOINT work", &[]),
        }
    }

    /// Keeps what was done since the place, and forgets the place.
    pub(super) fn release_savepoint(&self) -> Result<()> {
        self.step("RELEASE SAVEPOINT work")
    }

    /// Takes back what was done since the place, and forgets the place.
    pub(super) fn back_to_savepoint(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => self
                .step("ROLLBACK TO work")
                .and_then(|()| self.release_savepoint()),
            Self::Postgres(client) => client.back_to_savepoint(),
        }
    }

    /// Whether no transaction is open, or it was lost.
    pub(super) fn is_autocommit(&self) -> bool {
        match self {
            Self::Sqlite(conn) => conn.is_autocommit(),
            Self::Postgres(client) => client.is_autocommit(),
        }
    }

    /// Whether an error in a transaction makes all that follows in it fail.
    pub(super) fn is_aborted(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(client) => client.is_aborted(),
        }
    }

    /// Reads one consistent state.
    pub(super) fn snapshot<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        match self {
            Self::Sqlite(conn) => {
                let transaction = conn.unchecked_transaction()?;
                let result = work(self);
                drop(transaction);
                result
            }
            Self::Postgres(client) => {
                client.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
                let result = work(self);
                client.end_read();
                result
            }
        }
    }

    fn step(&self, sql: &str) -> Result<()> {
        self.prepare_cached(sql)?.execute(&[]).map(drop)
    }
}

impl Statement<'_> {
    /// Runs it; returns how many rows it touched.
    pub(super) fn execute(&mut self, values: &[&dyn Param]) -> Result<usize> {
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(bind(values))?),
            Self::Postgres(client, sql) => client.execute(sql, values),
        }
    }

    /// Asks for rows.
    pub(super) fn query(&mut self, values: &[&dyn Param]) -> Result<Rows<'_>> {
        Ok(match self {
            Self::Sqlite(statement) => Rows::Sqlite(statement.query(bind(values))?),
            Self::Postgres(client, sql) => {
                Rows::Postgres(client.query(sql, values)?.into_iter(), None)
            }
        })
    }

    /// Asks for one row; none is an error that [`OptionalExtension`] takes away.
    pub(super) fn query_row<T>(
        &mut self,
        values: &[&dyn Param],
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.query(values)?.next()? {
            Some(row) => read(&row),
            None => Err(Error::NoRow),
        }
    }

    /// Asks for rows and reads each.
    pub(super) fn query_map<T, F: FnMut(&Row<'_>) -> Result<T>>(
        &mut self,
        values: &[&dyn Param],
        read: F,
    ) -> Result<Mapped<'_, F>> {
        Ok(Mapped {
            rows: self.query(values)?,
            read,
        })
    }
}

impl Rows<'_> {
    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Self::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Self::Postgres(rows, row) => {
                *row = rows.next();
                Ok(row.as_ref().map(Row::Postgres))
            }
        }
    }
}

impl<T, F: FnMut(&Row<'_>) -> Result<T>> Iterator for Mapped<'_, F> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next().transpose()?;
        Some(row.and_then(|row| (self.read)(&row)))
    }
}

impl Row<'_> {
    /// Reads a column.
    pub(super) fn get<T: FromColumn>(&self, column: usize) -> Result<T> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => value::read(row, column),
        }
    }

    /// The bytes of a text or blob.
    pub(super) fn bytes(&self, column: usize) -> Result<&[u8]> {
        let bytes = self.bytes_or_null(column)?;
        bytes.ok_or_else(|| Error::unreadable(column, "a value is missing".into()))
    }

    /// The bytes of a text or blob that may be missing.
    pub(super) fn bytes_or_null(&self, column: usize) -> Result<Option<&[u8]>> {
        match self {
            Self::Sqlite(row) => row
                .get_ref(column)?
                .as_bytes_or_null()
                .map_err(|error| Error::unreadable(column, Box::new(error))),
            Self::Postgres(row) => value::raw(row, column),
        }
    }
}

/// To SQLite `$1` is a name, and names are numbered as they come: a statement that uses `$2` first would take the wrong
/// values, where PostgreSQL takes the right ones.
fn prepare<'c>(conn: &'c rusqlite::Connection, sql: &str) -> Result<rusqlite::CachedStatement<'c>> {
    let statement = conn.prepare_cached(sql)?;
    let is_in_order = |number: usize| {
        let name = format!("${number}");
        statement.parameter_name(number) == Some(name.as_str())
    };
    debug_assert!(
        (1..=statement.parameter_count()).all(is_in_order),
        "the first uses of its values are not in order: {sql}"
    );
    Ok(statement)
}

fn bind<'v>(
    values: &'v [&'v dyn Param],
) -> rusqlite::ParamsFromIter<impl Iterator<Item = Bound<'v>>> {
    rusqlite::params_from_iter(values.iter().map(|value| Bound(value.value())))
}

/// The words of one of them for a statement.
fn to_postgres(sql: &str) -> Cow<'_, str> {
    dialect::to_postgres(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(not(debug_assertions), ignore = "only checked while developing")]
    #[should_panic(expected = "not in order")]
    fn values_out_of_order_are_refused() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        drop(prepare(&conn, "SELECT 1 LIMIT $2 OFFSET $1"));
    }
}
