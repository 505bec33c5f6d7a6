//! Totals by service and day, and each service's last runs. They are kept by the transaction that stores the
//! runs, so a page never scans what grows with history.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::rows::{body, json, millis};
use crate::domain::{incident::Run, observation::RunName, verdict::Verdict};

/// Runs that a service's strip shows.
const STRIP: usize = 30;
const DAY_MS: i64 = 86_400_000;

/// One cell of a strip: an ended run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// When it ended, in epoch milliseconds.
    pub at_ms: i64,
    /// The run.
    pub run: RunName,
    /// Our reading of it.
    pub verdict: Verdict,
}

/// What the runs of one commit change.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    /// By service and UTC day of the end (days since 1970), then by verdict.
    days: BTreeMap<(String, i64), BTreeMap<Verdict, i64>>,
    strips: BTreeMap<String, Vec<Cell>>,
}

/// How a run stood before.
pub(super) type Ended = Option<(Verdict, i64)>;

impl Rollup {
    /// Takes in a run of a service in place of how it stood.
    pub(super) fn note(&mut self, service: &str, before: Ended, run: &Run) {
        let after = run.finished_at.map(|at| (run.verdict, millis(at)));
        if before == after {
            return;
        }
        for (ended, by) in [(before, -1), (after, 1)] {
            if let Some((verdict, at_ms)) = ended {
                let day = (service.to_owned(), at_ms.div_euclid(DAY_MS));
                *self
                    .days
                    .entry(day)
                    .or_default()
                    .entry(verdict)
                    .or_default() += by;
            }
        }
        if let Some((verdict, at_ms)) = after {
            let run = run.name.clone();
            let cell = Cell {
                at_ms,
                run,
                verdict,
            };
            self.strips
                .entry(service.to_owned())
                .or_default()
                .push(cell);
        }
    }

    /// Adds it to what is stored.
    pub(super) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        for ((service, day), verdicts) in &self.days {
            for (verdict, by) in verdicts.iter().filter(|(_, by)| **by != 0) {
                conn.prepare_cached(
                    "INSERT INTO service_days (service, day, verdict, runs) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (service, day, verdict) DO UPDATE SET runs = service_days.runs + excluded.runs",
                )?
                .execute(params![service, day, verdict.as_str(), by])?;
            }
        }
        for (service, cells) in self.strips {
            extend_strip(conn, &service, cells)?;
        }
        Ok(())
    }
}

fn extend_strip(conn: &Connection, service: &str, cells: Vec<Cell>) -> rusqlite::Result<()> {
    let mut strip = strip(conn, service)?;
    strip.retain(|known| !cells.iter().any(|cell| cell.run == known.run));
    strip.extend(cells);
    strip.sort();
    let surplus = strip.len().saturating_sub(STRIP);
    strip.drain(..surplus);
    conn.prepare_cached(
        "INSERT INTO services (name, last_at, strip) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET last_at = excluded.last_at, strip = excluded.strip",
    )?
    .execute(params![
        service,
        strip.last().map_or(0, |cell| cell.at_ms),
        body(&strip)
    ])
    .map(drop)
}

fn strip(conn: &Connection, service: &str) -> rusqlite::Result<Vec<Cell>> {
    let known = conn
        .prepare_cached("SELECT strip FROM services WHERE name = $1")?
        .query_row([service], |row| json(row, 0))
        .optional()?;
    Ok(known.unwrap_or_default())
}
