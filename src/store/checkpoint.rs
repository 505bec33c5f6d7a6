//! Copies a file's log into it on a thread of its own, so that those who wait for the writer do not wait for that too.

use std::ffi::c_int;

use rusqlite::hooks::Wal;
use tokio::sync::mpsc::WeakSender;

use super::{
    setup::CHECKPOINT_PAGES,
    sql::{self, Connection},
    threads::{Message, Query},
};

/// Pages of 4 KiB that come to the log before they are copied. Few at a time: each copy syncs the file, and meanwhile
/// commits on the same disk take longer.
const PAGES: c_int = 250;

/// Has a writer leave the copying to another thread of the same file. It does it itself once the log is long all the
/// same: only then, with nobody else at it, is all of it copied at one moment, and it begins anew.
pub(super) fn leave_to(
    copier: WeakSender<Message<Query>>,
    writer: &mut Connection,
) -> sql::Result<()> {
    let Connection::Sqlite(writer) = writer else {
        return Ok(());
    };
    let mut asked_at = 0;
    let after_commit = move |log: &mut Wal, pages: c_int| {
        if pages >= CHECKPOINT_PAGES {
            // As with SQLite's own: the commit came through whatever becomes of this, and the next one tries again.
            drop(log.checkpoint());
            return Ok(());
        }
        if pages < asked_at {
            asked_at = 0;
        }
        if pages - asked_at >= PAGES
            && let Some(copier) = copier.upgrade()
            && copier.try_send(Message::Do(Box::new(copy))).is_ok()
        {
            asked_at = pages;
        }
        Ok(())
    };
    writer.wal_hook(Some(after_commit))?;
    Ok(())
}

/// Copies what has come to the log so far; neither waits for anybody nor holds anybody up.
fn copy(conn: &Connection) {
    let copied = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", &[], |_| Ok(()));
    if let Err(error) = copied {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "Cannot copy the inbox's log into its file, the log grows"
        );
    }
}
