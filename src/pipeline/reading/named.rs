//! What is taken out of the configuration is in trouble no more: nobody reads from there, so nobody would ever say
//! that it works again.

use std::collections::BTreeSet;

use super::{Library, Shared, key_of};
use crate::store::StoreError;

/// Key in the store: what the configuration named when it was last looked at, which may have been before a restart.
const NAMED: &str = "log_endpoints";

impl Library {
    /// Ends what was wrong with endpoints that the configuration named before and does not name now. What runs alone
    /// name is left as it is.
    pub(super) async fn forget_unnamed(&self, shared: &Shared) -> Result<(), StoreError> {
        let hash = shared.live().snapshot.hash;
        if *self.looked_at() == Some(hash) {
            return Ok(());
        }
        let named = self.reader(shared).named();
        let before = shared.store.meta(NAMED).await?;
        let before: BTreeSet<String> = before
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        if before != named {
            for gone in before.difference(&named) {
                self.reported().remove(gone);
                shared.reports.fares(&key_of(gone), None);
            }
            self.report(shared);
            shared.inbox_bell.notify_one();
            let json = serde_json::to_string(&named).unwrap_or_default();
            shared.store.set_meta(NAMED, json).await?;
        }
        *self.looked_at() = Some(hash);
        Ok(())
    }
}
