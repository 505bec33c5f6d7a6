//! A run that this version cannot make out holds up no other one.

use jiff::{SignedDuration, Timestamp};
use tracing::error;

use super::Reader;
use crate::{metrics::ReadLabel, store::StoreError};

/// A newer version may be back by then; until it is, this is told as often.
const FOR: SignedDuration = SignedDuration::from_hours(6);

impl Reader {
    /// Puts off what is due and cannot be made out.
    pub(super) async fn set_aside(&self, now: Timestamp) -> Result<(), StoreError> {
        let until = now.checked_add(FOR).unwrap_or(Timestamp::MAX);
        for aside in self.shared.store.set_aside_reads(now, until).await? {
            let label = ReadLabel {
                result: "set-aside",
            };
            let reads = &self.shared.metrics.artifact_reads;
            reads.get_or_create(&label).inc();
            let run = aside.what;
            error!(
                run,
                reason = aside.why,
                "Cannot make out the stored run {run} whose log is to be read, left it alone for 6 hours; the version \
                 that stored it can read it"
            );
        }
        Ok(())
    }
}
