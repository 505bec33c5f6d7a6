//! What cannot be decided yet: a status or a message whose ProwJob is not known, a green run whose log is not read.

use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::{Worker, ahead::Read};
use crate::{
    domain::{
        evidence::Finding,
        fold::to_signed,
        incident::alias,
        observation::{Observation, RunName, Source},
        observe::Reading,
    },
    pipeline::{is_watched, live::Live},
    store::{InboxRow, StoreError},
    telemetry::short,
};

/// How long a GitHub status or a Pub/Sub message waits until its ProwJob is found: deck renews its list every 30 s,
/// and we poll it as often; Prow stores a ProwJob in the run's folder within seconds.
const RESOLVE_WITHIN: Duration = Duration::from_secs(90);
/// How often such a status is looked at again.
const RESOLVE_EVERY: Duration = Duration::from_secs(2);
/// How long the end of a green run waits for its log.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether that has come.
const READ_EVERY: Duration = Duration::from_secs(1);

impl Worker {
    /// A GitHub status or a Pub/Sub message carries no ProwJob. It is put off until the run itself is known, or until it has
    /// waited long enough to be told by what is known.
    pub(super) async fn put_off_unresolved(
        &self,
        live: &Live,
        read: Vec<Read>,
        now: Timestamp,
    ) -> Result<(Vec<Read>, Vec<(InboxRow, Timestamp)>), StoreError> {
        let (mut ready, mut parked) = (Vec::with_capacity(read.len()), Vec::new());
        for one in read {
            if self.is_resolved(live, &one.row, now).await? {
                ready.push(one);
            } else {
                self.shared.deck_bell.notify_one();
                if one.row.observation.artifacts.folder.is_some() {
                    self.shared.unresolved.ask(&one.row.observation);
                }
                parked.push((one.row, now + RESOLVE_EVERY));
            }
        }
        Ok((ready, parked))
    }

    /// What a green run did may stand in its log alone. It is put off until that was read, or for so long that
    /// it counts as what Prow says it is.
    pub(super) async fn put_off_unread(
        &self,
        live: &Live,
        mut read: Vec<Read>,
        parked: &mut Vec<(InboxRow, Timestamp)>,
        now: Timestamp,
    ) -> Result<(Vec<Read>, Vec<Observation>), StoreError> {
        let policy = &live.snapshot.policy;
        if !policy.reads_evidence {
            return Ok((read, Vec::new()));
        }
        let asking = |read: &Read| read.reading.asks_for_log(policy);
        let names: Vec<RunName> = read
            .iter()
            .filter(|read| asking(read))
            .map(|read| read.row.observation.run.clone())
            .collect();
        if names.is_empty() {
            return Ok((read, Vec::new()));
        }
        let known = self.shared.store.findings(names).await?;
        let (mut ready, mut to_read) = (Vec::with_capacity(read.len()), Vec::new());
        for mut one in read.drain(..) {
            let run = &one.row.observation;
            if asking(&one) {
                let waited = now.duration_since(one.row.received_at);
                match known.get(&run.run) {
                    Some((Finding::Green(said), _)) => {
                        one.reading = Reading::of(policy, run, Some(said.clone()));
                    }
                    Some((_, true)) => {}
                    _ if waited >= to_signed(READ_WITHIN) => {
                        warn!(
                            run = short(&run.run.0),
                            "Cannot read the log of a green run in time, taking it as it is"
                        );
                    }
                    _ => {
                        to_read.push(run.clone());
                        parked.push((one.row, now + READ_EVERY));
                        continue;
                    }
                }
            }
            ready.push(one);
        }
        Ok((ready, to_read))
    }

    async fn is_resolved(
        &self,
        live: &Live,
        row: &InboxRow,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let run = &row.observation;
        let can_be_found = match run.source {
            Source::Github => live.lists(),
            Source::Pubsub => {
                let reads = live.snapshot.config.settings.artifacts.enabled;
                live.lists() || (reads && run.artifacts.folder.is_some())
            }
            Source::Webhook
            | Source::Deck
            | Source::Watch
            | Source::Bucket
            | Source::File
            | Source::Exec => false,
        };
        if !can_be_found || !run.inferred || !is_watched(live, run) {
            return Ok(true);
        }
        let waited = now.duration_since(row.received_at);
        let Some(alias) = alias(run) else {
            return Ok(true);
        };
        if waited >= to_signed(RESOLVE_WITHIN) {
            warn!(
                run = short(&run.run.0),
                source = run.source.as_str(),
                "Cannot find the run that a source tells of, telling what the source says"
            );
            return Ok(true);
        }
        let Some(name) = self.shared.store.find_by_alias(alias).await? else {
            return Ok(false);
        };
        let known = self.shared.store.known(vec![name.clone()]).await?;
        Ok(known.get(&name).is_some_and(|known| known.finished))
    }
}
