//! A message that this version cannot read holds up no other one.

use tracing::error;

use super::Sender;
use crate::{
    metrics::ReasonLabel,
    store::{Hold, StoreError},
};

impl Sender {
    /// Gives up the head of a queue that could not be read. The error, when it was not for the head.
    pub(super) async fn set_aside(
        &self,
        receiver: &str,
        hold: Option<&Hold>,
        failed: StoreError,
    ) -> Result<(), StoreError> {
        if !failed.is_unreadable() {
            return Err(failed);
        }
        let (store, now) = (&self.shared.store, self.shared.clock.now());
        let Some(aside) = store.set_aside_head(receiver, now, hold.cloned()).await? else {
            return Err(failed);
        };
        self.shared.changed();
        let reason = "unreadable";
        let failures = &self.shared.metrics.notifications_failed;
        failures.get_or_create(&ReasonLabel { reason }).inc();
        self.shared.metrics.dead_letters.inc();
        let id = aside.what;
        error!(
            receiver,
            delivery.id = id,
            reason = aside.why,
            "Cannot read the stored message of delivery {id}, gave it up as a dead letter; a version that can read it \
             sends it after `deliveries replay {id}`"
        );
        Ok(())
    }
}
