//! Opens databases: permissions, settings, migrations.

use std::{ffi::c_int, io::ErrorKind, path::Path, sync::Arc, time::Duration};

use rusqlite::{OpenFlags, TransactionBehavior, config::DbConfig};
use rustix::fs::{Access, access};

use super::{
    error::{StoreError, sort, unusable},
    location::{Location, ServerLocation},
    schema,
    sql::{self, Connection, postgres::Client},
};

/// What a database file is like.
#[derive(Debug)]
pub(super) struct Layout {
    /// For the names of its threads.
    pub(super) name: &'static str,
    /// In order; the database's `user_version` is how many of them it has seen. Never change one that has
    /// been released: add another.
    pub(super) migrations: &'static [&'static str],
    /// Memory for the writer's pages. What a transaction changes beyond it is written to the log twice.
    cache_kib: u32,
    /// Whether senders wait for its writer.
    pub(super) is_waited_for: bool,
}

/// Decisions and all that follows from them.
pub(super) const MAIN: Layout = Layout {
    name: "store",
    migrations: &[include_str!("migrations/0001_start.sql")],
    cache_kib: 32_000,
    is_waited_for: false,
};
/// What was accepted and waits for its decision.
pub(super) const INBOX: Layout = Layout {
    name: "inbox",
    migrations: &[include_str!("migrations/inbox_0001_start.sql")],
    cache_kib: 2_000,
    is_waited_for: true,
};

/// Short, because whoever waits for the store has a timeout of its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a server may take over what others wait for, and over what people ask for.
const WRITE_PATIENCE: Duration = Duration::from_secs(8);
const READ_PATIENCE: Duration = Duration::from_secs(20);
/// More statements than the store has, so that none is prepared twice.
const CACHED_STATEMENTS: usize = 128;
/// Pages of 4 KiB in a log before its writer copies it into the file: that holds it up rarely, and the log stays at
/// about 64 MiB.
pub(super) const CHECKPOINT_PAGES: c_int = 16_000;

/// Opens the database for writing. A file and its folder are created, for the owner only, where there are none.
pub(super) fn open_writer(store: &Location, layout: &Layout) -> Result<Connection, StoreError> {
    match store {
        Location::File(path) => open_file(path, layout).map(Connection::Sqlite),
        Location::Server(server) => {
            schema::migrate(store, server)?;
            reach(store, server, WRITE_PATIENCE)
        }
    }
}

/// Opens a second connection that only reads.
pub(super) fn open_reader(store: &Location) -> Result<Connection, StoreError> {
    match store {
        Location::File(path) => open_file_again(path).map(Connection::Sqlite),
        Location::Server(server) => reach(store, server, READ_PATIENCE),
    }
}

/// Opens a connection that copies the log of a file into it. A server does that itself.
pub(super) fn open_copier(path: &Arc<Path>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(path, flags)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA synchronous = FULL")
        .map_err(|error| failed(path, error))?;
    Ok(Connection::Sqlite(conn))
}

fn reach(
    store: &Location,
    server: &ServerLocation,
    patience: Duration,
) -> Result<Connection, StoreError> {
    let client = Client::open(&server.server, patience).map_err(|error| sort(store, error))?;
    Ok(Connection::Postgres(Box::new(client)))
}

fn open_file(path: &Arc<Path>, layout: &Layout) -> Result<rusqlite::Connection, StoreError> {
    create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = connect(path, flags)?;
    let prepared = conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{}; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = 67108864",
        layout.cache_kib
    ));
    prepared.map_err(|error| failed(path, error))?;
    migrate(&mut conn, path, layout.migrations)?;
    Ok(conn)
}

fn open_file_again(path: &Arc<Path>) -> Result<rusqlite::Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = connect(path, flags)?;
    conn.execute_batch(
        "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4000",
    )
    .map_err(|error| failed(path, error))?;
    Ok(conn)
}

fn connect(path: &Arc<Path>, flags: OpenFlags) -> Result<rusqlite::Connection, StoreError> {
    let conn = rusqlite::Connection::open_with_flags(path, flags).map_err(|error| {
        unusable(
            &Location::File(Arc::clone(path)),
            "it cannot be opened, check that path and permissions are right",
            Some(Arc::new(error)),
        )
    })?;
    conn.busy_timeout(BUSY_TIMEOUT)
        .map_err(|error| failed(path, error))?;
    // Without it statements are planned anew when values are bound: loading a slice took four times as long.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| failed(path, error))?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(conn)
}

fn failed(path: &Arc<Path>, error: rusqlite::Error) -> StoreError {
    sort(&Location::File(Arc::clone(path)), sql::Error::Sqlite(error))
}

fn create(path: &Arc<Path>) -> Result<(), StoreError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let refused = |error: std::io::Error| {
        let problem = unwritable(folder, error.kind());
        let store = Location::File(Arc::clone(path));
        unusable(&store, problem, Some(Arc::new(error)))
    };
    create_folder(folder).map_err(refused)?;
    // SQLite keeps its log beside the file, so that the file alone is not enough.
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(error.into()))?;
    match create_file(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(refused(error)),
        _ => Ok(()),
    }
}

/// Why nothing can be made in a folder, and what to do.
fn unwritable(folder: &Path, why: ErrorKind) -> String {
    let (folder, user) = (folder.display(), rustix::process::geteuid().as_raw());
    match why {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => format!(
            "its folder {folder} is not writable for user {user}, let it own the folder, mount a volume there that it \
             may write (in Kubernetes with `fsGroup`), or have `store.url` lead elsewhere"
        ),
        _ => format!("it cannot be created in {folder}, check that this is a folder"),
    }
}

fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// SQLite gives its log the same permissions as the file.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Brings the schema up to date, each step in a transaction of its own.
pub(super) fn migrate(
    conn: &mut rusqlite::Connection,
    path: &Arc<Path>,
    steps: &[&str],
) -> Result<(), StoreError> {
    loop {
        let transaction = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| failed(path, error))?;
        let seen: usize = transaction
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|error| failed(path, error))?;
        if seen > steps.len() {
            let known = steps.len();
            return Err(unusable(
                &Location::File(Arc::clone(path)),
                format!(
                    "its schema {seen} is newer than {known}, which this version knows: run the newer version, or restore a backup"
                ),
                None,
            ));
        }
        let Some(step) = steps.get(seen) else {
            return Ok(());
        };
        transaction
            .execute_batch(step)
            .and_then(|()| transaction.pragma_update(None, "user_version", seen + 1))
            .and_then(|()| transaction.commit())
            .map_err(|error| failed(path, error))?;
    }
}
