//! Which database a store is.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{StoreError, error::unusable, server::Server};
use crate::config::store_url::PostgresUrl;

/// A file or a database of a server; shown without secrets.
#[derive(Clone)]
pub enum Location {
    /// An SQLite file.
    File(Arc<Path>),
    /// A database of a PostgreSQL server, and its name.
    Server(Arc<ServerLocation>),
}

/// A database of a server.
pub struct ServerLocation {
    pub(super) server: Arc<Server>,
    pub(super) shown: String,
}

impl Location {
    /// The database at this address; connects nowhere yet.
    pub(super) fn of_server(url: &PostgresUrl) -> Result<Self, StoreError> {
        match Server::new(url) {
            Ok(server) => Ok(Self::Server(Arc::new(ServerLocation {
                server: Arc::new(server),
                shown: url.shown.clone(),
            }))),
            Err(problem) => {
                let named = Self::from(PathBuf::from(&url.shown));
                Err(unusable(&named, problem, None))
            }
        }
    }
}

impl Location {
    /// Whether it is a file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Whether both are one file that is there, however it is named.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let (Self::File(one), Self::File(other)) = (self, other) else {
            return false;
        };
        one == other
            || one
                .canonicalize()
                .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::File(Arc::from(path))
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::File(Arc::from(path))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => f.write_str(&server.shown),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
