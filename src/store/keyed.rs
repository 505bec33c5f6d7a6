//! Tables of bodies under a key: of what is always complete in memory, each row is one thing.

use crate::store::sql::{self, Connection, Param};

/// How to put a body under a key, and how to drop it.
pub(super) struct Keyed {
    put: &'static str,
    drop: &'static str,
}

/// Of a table of one key and a body.
macro_rules! keyed {
    ($table:literal) => {
        Keyed {
            put: concat!(
                "INSERT INTO ",
                $table,
                " (key, body) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET body = excluded.body"
            ),
            drop: concat!("DELETE FROM ", $table, " WHERE key = $1"),
        }
    };
}

pub(super) const CAUSE: Keyed = keyed!("causes");
pub(super) const HEALED: Keyed = keyed!("healed");
pub(super) const TROUBLE: Keyed = keyed!("troubles");
pub(super) const GAPS: Keyed = keyed!("gaps");
pub(super) const WATCH: Keyed = keyed!("watches");
pub(super) const FOLD: Keyed = Keyed {
    put: "INSERT INTO folds (cause, receiver, body) VALUES ($1, $2, $3) \
          ON CONFLICT (cause, receiver) DO UPDATE SET body = excluded.body",
    drop: "DELETE FROM folds WHERE cause = $1 AND receiver = $2",
};
pub(super) const HIDDEN: Keyed = Keyed {
    put: "INSERT INTO hidden (key, receiver, body) VALUES ($1, $2, $3) \
          ON CONFLICT (key, receiver) DO UPDATE SET body = excluded.body",
    drop: "DELETE FROM hidden WHERE key = $1 AND receiver = $2",
};
pub(super) const DIGEST: Keyed = Keyed {
    put: "INSERT INTO digests (receiver, first_start, body) VALUES ($1, $2, $3) \
          ON CONFLICT (receiver, first_start) DO UPDATE SET body = excluded.body",
    drop: "DELETE FROM digests WHERE receiver = $1 AND first_start = $2",
};

/// Puts a body in place of what was there, or drops it.
pub(super) fn put_body(
    conn: &Connection,
    sql: &Keyed,
    key: &[&dyn Param],
    body: Option<&String>,
) -> sql::Result<()> {
    let mut values = key.to_vec();
    let statement = match &body {
        Some(body) => {
            values.push(body);
            sql.put
        }
        None => sql.drop,
    };
    conn.put(statement, values.as_slice())
}
