//! What can go wrong with the store, sorted by what a caller does about it.

use std::{error::Error, fmt, path::Path, sync::Arc};

use rusqlite::ErrorCode;

/// Why the store did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not now: nothing was changed, and trying again later may work. A web request is answered with 503.
    #[error("cannot use the store {} now: {why}", path.display())]
    Unavailable {
        /// The database.
        path: Arc<Path>,
        /// What stands in the way.
        why: Obstacle,
        /// What the database said.
        source: Cause,
    },
    /// Not with this file or this version of the program; somebody must act.
    #[error("cannot use the store {}: {problem}", path.display())]
    Unusable {
        /// The database.
        path: Arc<Path>,
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
pub type Cause = Arc<dyn Error + Send + Sync>;

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
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "another process holds its lock, end that process",
            Self::Full => "no space is left, free some or enlarge the volume",
            Self::ReadOnly => {
                "it is read-only, check the owner of the file and how the volume is mounted"
            }
            Self::Failed => "reading or writing failed, see the cause and the state of the disk",
        })
    }
}

/// Sorts what the database said.
pub(super) fn sort(path: &Arc<Path>, error: rusqlite::Error) -> StoreError {
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Obstacle::Busy,
        Some(ErrorCode::DiskFull) => Obstacle::Full,
        Some(ErrorCode::ReadOnly) => Obstacle::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt) => {
            return unusable(
                path,
                "the file is damaged, restore it from a backup or move it away to start anew",
                Some(Arc::new(error)),
            );
        }
        Some(ErrorCode::NotADatabase) => {
            return unusable(
                path,
                "the file is not an SQLite database, check `store.url`",
                Some(Arc::new(error)),
            );
        }
        None if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => {
            return unusable(
                path,
                "a row holds what this version cannot read, run the version that wrote it or a newer one",
                Some(Arc::new(error)),
            );
        }
        Some(_) | None => Obstacle::Failed,
    };
    StoreError::Unavailable {
        path: Arc::clone(path),
        why,
        source: Arc::new(error),
    }
}

/// An error that only a person can mend.
pub(super) fn unusable(
    path: &Arc<Path>,
    problem: impl Into<String>,
    source: Option<Cause>,
) -> StoreError {
    StoreError::Unusable {
        path: Arc::clone(path),
        problem: problem.into(),
        source,
    }
}
