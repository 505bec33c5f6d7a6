//! One daemon for a file: a lock beside it, which goes with the process that holds it, however that ends.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
};

use super::{Location, Store, StoreError, error::unusable};

/// Nobody else runs on the file while this is there. A server, which several share, knows no such thing.
#[derive(Debug)]
#[must_use = "it is given back when dropped"]
pub struct FileLock {
    _file: Option<File>,
}

impl Store {
    /// Makes sure that no other daemon uses the file, and no copy of it is being made. Whoever only looks, or leaves an
    /// order for a daemon, needs none.
    pub fn lock(&self) -> Result<FileLock, StoreError> {
        let location = self.main.location();
        let Location::File(path) = location else {
            return Ok(FileLock { _file: None });
        };
        // However it is named, it is the same file.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut name = OsString::from(path);
        name.push(".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&name).map_err(|error| {
            let problem = format!(
                "{} cannot be written, check that user {} may write the folder and the files in it",
                name.display(),
                rustix::process::geteuid().as_raw()
            );
            unusable(location, problem, Some(std::sync::Arc::new(error)))
        })?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(unusable(
                location,
                "another process runs on it, a daemon or a copy; stop that first, for two would tell everything twice",
                None,
            )),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "This file system has no locks: see to it yourself that only one daemon uses {location}"
                );
                Ok(FileLock { _file: None })
            }
        }
    }
}
