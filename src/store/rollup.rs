//! Totals by day and service, kept by the transaction that stores the runs, so a page never scans what grows with
//! history.

use std::collections::BTreeMap;

use crate::store::sql::{self, Connection, params};

use super::rows::millis;
use crate::domain::{incident::Run, verdict::Verdict};

const DAY_MS: i64 = 86_400_000;

/// What the runs of one commit change: by UTC day of the end (days since 1970), service and verdict.
#[derive(Debug, Default)]
pub(super) struct Rollup(BTreeMap<(i64, String, Verdict), i64>);

/// How a run had ended before, and when in epoch milliseconds.
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
                let key = (at_ms.div_euclid(DAY_MS), service.to_owned(), verdict);
                *self.0.entry(key).or_default() += by;
            }
        }
    }

    /// Adds it to what is stored.
    pub(super) fn write(self, conn: &Connection) -> sql::Result<()> {
        let mut totals: BTreeMap<(i64, Verdict), i64> = BTreeMap::new();
        for ((day, service, verdict), by) in self.0.iter().filter(|(_, by)| **by != 0) {
            *totals.entry((*day, *verdict)).or_default() += by;
            conn.put(
                "INSERT INTO service_days (day, service, verdict, runs) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (day, service, verdict) DO UPDATE SET runs = service_days.runs + excluded.runs",
                params![day, service, verdict.as_str(), by],
            )?;
        }
        for ((day, verdict), by) in totals {
            conn.put(
                "INSERT INTO run_days (day, verdict, runs) VALUES ($1, $2, $3) \
                 ON CONFLICT (day, verdict) DO UPDATE SET runs = run_days.runs + excluded.runs",
                params![day, verdict.as_str(), by],
            )?;
        }
        Ok(())
    }
}
