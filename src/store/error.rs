//! What can go wrong with the store, sorted by what a caller does about it.

use std::{error::Error as StdError, fmt, sync::Arc};

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use super::{location::Location, sql::Error};

/// Why the store did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not now: nothing was changed, and trying again later may work. A web request is answered with 503.
    #[error("cannot use the store {store} now: {why} ({source})")]
    Unavailable {
        /// The database.
        store: Location,
        /// What stands in the way.
        why: Obstacle,
        /// What the database said.
        source: Cause,
    },
    /// Not with this database or this version of the program; somebody must act.
    #[error("cannot use the store {store}: {problem}")]
    Unusable {
        /// The database.
        store: Location,
        /// What is wrong and what to do.
        problem: String,
        /// What the system said, if it said something.
        source: Option<Cause>,
    },
    /// It has been closed.
    #[error("the store has been closed")]
    Stopped,
}

/// The error below, shared by all whose work stood in one transaction.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// What keeps the store from being used for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Another process holds the lock.
    Busy,
    /// No space is left.
    Full,
    /// It must not be written.
    ReadOnly,
    /// Reading or writing failed in another way.
    Failed,
    /// No connection to the server, or it broke.
    Unreachable,
    /// The file with the password for the server cannot be read.
    Password,
    /// The server does not let us in.
    Refused,
    /// We do not believe that the server is who it says.
    Untrusted,
    /// The server takes no writes, since another is the primary.
    Standby,
    /// The server has no space or no connection left.
    Exhausted,
    /// Another transaction stood in the way.
    Conflict,
    /// It took too long.
    Slow,
    /// Another replica leads, or holds what was claimed.
    Fenced,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "another process holds its lock, end that process",
            Self::Full => "no space is left, free some or enlarge the volume",
            Self::ReadOnly => {
                "it is read-only, check the owner of the file and how the volume is mounted"
            }
            Self::Failed => "reading or writing failed, see the cause",
            Self::Unreachable => "the server cannot be reached, check that it runs and the network",
            Self::Password => {
                "the file with the password cannot be read, check its path and permissions"
            }
            Self::Refused => "the server refuses the login, check user, password and `pg_hba.conf`",
            Self::Untrusted => {
                "the server's certificate is not trusted, `sslrootcert` must name the authority that signed it and \
                 `store.url` the host that it is for"
            }
            Self::Standby => "the server is read-only, `store.url` must lead to the primary",
            Self::Exhausted => "the server has no space, memory or connection left, see the cause",
            Self::Conflict => "another transaction was in the way, which passes by itself",
            Self::Slow => "the server took too long, see its load and who holds locks",
            Self::Fenced => "another replica has taken over, which is as it should be",
        })
    }
}

impl StoreError {
    /// Whether a row holds what this version cannot read; the others can be read without it.
    pub fn is_unreadable(&self) -> bool {
        let source = match self {
            Self::Unusable { source, .. } => source.as_ref(),
            Self::Unavailable { .. } | Self::Stopped => None,
        };
        let error = source.and_then(|source| source.downcast_ref::<Error>());
        matches!(error, Some(Error::Unreadable { .. }))
    }
}

/// Sorts what the database said.
pub(super) fn sort(store: &Location, error: Error) -> StoreError {
    let sorted = match &error {
        Error::Sqlite(error) => of_sqlite(error),
        Error::Postgres { error } => of_postgres(error),
        Error::Unreachable(_) | Error::Lost => Ok(Obstacle::Unreachable),
        Error::Password(_) => Ok(Obstacle::Password),
        Error::Silent(_) => Ok(Obstacle::Slow),
        Error::Aborted | Error::NoRow => Ok(Obstacle::Failed),
        Error::Fenced => Ok(Obstacle::Fenced),
        Error::Unreadable { .. } => Err(UNREADABLE),
        Error::Check(problem) => return unusable(store, problem, None),
    };
    let source: Cause = Arc::new(error);
    match sorted {
        Ok(why) => StoreError::Unavailable {
            store: store.clone(),
            why,
            source,
        },
        Err(problem) => unusable(store, problem, Some(source)),
    }
}

const UNREADABLE: &str =
    "a row holds what this version cannot read, run the version that wrote it or a newer one";

fn of_sqlite(error: &rusqlite::Error) -> Result<Obstacle, &'static str> {
    Ok(match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Obstacle::Busy,
        Some(ErrorCode::DiskFull) => Obstacle::Full,
        Some(ErrorCode::ReadOnly) => Obstacle::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt) => {
            return Err(
                "the file is damaged, restore it from a backup or move it away to start anew",
            );
        }
        Some(ErrorCode::NotADatabase) => {
            return Err("the file is not an SQLite database, check `store.url`");
        }
        None if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => {
            return Err(UNREADABLE);
        }
        Some(_) | None => Obstacle::Failed,
    })
}

/// By the classes of PostgreSQL's error codes (appendix A of its manual).
fn of_postgres(error: &tokio_postgres::Error) -> Result<Obstacle, &'static str> {
    let Some(code) = error.code() else {
        return Ok(if is_about_certificate(error) {
            Obstacle::Untrusted
        } else {
            Obstacle::Unreachable
        });
    };
    if *code == SqlState::INVALID_CATALOG_NAME {
        return Err("the server has no such database, create it or check `store.url`");
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        return Err("the user lacks a right, let it own the database's schema or grant it");
    }
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Ok(Obstacle::Standby);
    }
    if [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code) {
        return Ok(Obstacle::Slow);
    }
    Ok(match code.code().get(..2) {
        Some("28") => Obstacle::Refused,
        Some("08" | "57") => Obstacle::Unreachable,
        Some("53") => Obstacle::Exhausted,
        // Also whoever was idle in a transaction for too long.
        Some("40" | "25") => Obstacle::Conflict,
        _ => Obstacle::Failed,
    })
}

fn is_about_certificate(error: &tokio_postgres::Error) -> bool {
    let handshake = error.source().and_then(<dyn StdError>::downcast_ref);
    let inner = handshake.and_then(std::io::Error::get_ref);
    let tls = inner.and_then(|inner| inner.downcast_ref());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

impl Error {
    /// Whether other transactions held what was needed.
    pub(super) fn is_about_locks(&self) -> bool {
        let Self::Postgres { error } = self else {
            return false;
        };
        let locks = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        error.code().is_some_and(|code| locks.contains(code))
    }

    /// Whether the connection is of no use any more.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Lost | Self::Unreachable(_) | Self::Password(_) => true,
            Self::Postgres { error } => match of_postgres(error) {
                Ok(Obstacle::Slow) => false,
                // A failover leads elsewhere, which only a new connection finds out.
                Ok(Obstacle::Unreachable | Obstacle::Standby) => true,
                _ => error.is_closed(),
            },
            _ => false,
        }
    }
}

/// An error that only a person can mend.
pub(super) fn unusable(
    store: &Location,
    problem: impl Into<String>,
    source: Option<Cause>,
) -> StoreError {
    StoreError::Unusable {
        store: store.clone(),
        problem: problem.into(),
        source,
    }
}
