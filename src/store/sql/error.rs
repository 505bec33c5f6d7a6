//! What a database said.

use std::{error::Error as StdError, time::Duration};

/// Outcome of talking to a database.
pub(in crate::store) type Result<T> = std::result::Result<T, Error>;

/// Any error that is not the database's own.
pub(in crate::store) type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Error {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL said so, or the way there.
    #[error("{error}{}", of_server(.error))]
    Postgres {
        /// The driver's.
        #[from]
        error: tokio_postgres::Error,
    },
    /// There is no connection now.
    #[error("there is no connection to the database: {0}")]
    Unreachable(String),
    /// The file with the password cannot be read.
    #[error("{0}")]
    Password(String),
    /// An answer did not come.
    #[error("the database did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The connection broke in the midst of a transaction.
    #[error("the connection to the database broke")]
    Lost,
    /// The transaction failed before.
    #[error("the transaction has failed before")]
    Aborted,
    /// Another replica leads by now, or holds what was claimed.
    #[error("another replica has taken over")]
    Fenced,
    /// A column does not hold what it should.
    #[error("cannot read column {column}")]
    Unreadable {
        /// Its place.
        column: usize,
        /// Why.
        source: Cause,
    },
    /// There is no such row.
    #[error("there is no such row")]
    NoRow,
    /// What was found is not as it must be: what is wrong, and what a person can do.
    #[error("{0}")]
    Check(String),
}

/// The driver's own text says only "db error" or "error performing TLS handshake".
fn of_server(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!(": {}", db.message()),
        (None, Some(cause)) => format!(": {cause}"),
        (None, None) => String::new(),
    }
}

impl Error {
    /// A column does not hold what it should.
    pub(in crate::store) fn unreadable(column: usize, source: Cause) -> Self {
        Self::Unreadable { column, source }
    }
}

/// For what may not be there.
pub(in crate::store) trait OptionalExtension<T> {
    /// `None` instead of an error when there is no such row.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRow | Error::Sqlite(rusqlite::Error::QueryReturnedNoRows)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
