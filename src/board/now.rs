//! The first page: is any release blocked, by what, and who was told?

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{age::DataAge, glyph::State, services};
use crate::{
    domain::{
        classify::Severity,
        hush::{Hidden, HiddenKey},
        incident::{Incident, IncidentId},
        notification::{Item, Link},
    },
    pipeline::Shared,
    store::StoreError,
};

/// What the first page shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Now {
    /// How old it is.
    pub data: DataAge,
    /// Services by how they stand, in order of urgency; every state that counts services stands here.
    pub counters: Vec<Counter>,
    /// Open incidents: blocked and stalled ones first, then the oldest first; what a root knocked over stands behind it.
    pub open: Vec<Open>,
}

/// How many services stand so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counter {
    /// How they stand.
    pub state: State,
    /// How many.
    pub services: usize,
}

/// An open incident.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Open {
    /// Its number.
    pub id: u64,
    /// How bad it is.
    pub state: State,
    /// What kind of thing broke.
    pub kind: String,
    /// Service, or owner of what releases nothing.
    pub service: String,
    /// Version or branch.
    pub version: String,
    /// Whether [`Self::version`] is a version.
    pub is_version: bool,
    /// Whether that version goes through a pipeline, and so has a page of its own.
    pub is_release: bool,
    /// Place in the release; the job where there is none.
    pub stage: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The same in seconds.
    pub age_s: i64,
    /// What broke, in words.
    pub what: String,
    /// Kind of reason, in words.
    pub reason: Option<String>,
    /// The signature of the error.
    pub signature: Option<String>,
    /// How many runs were bad.
    pub failures: u64,
    /// The run to look at.
    pub run: String,
    /// Its job, as [`crate::domain::job::JobKey`].
    pub job: String,
    /// Who was told.
    pub told: Vec<String>,
    /// What keeps news of it from somebody, each in one clause.
    pub held_back_by: Vec<String>,
    /// Who may know more.
    pub ask: Option<String>,
    /// Stages that cannot do their work.
    pub blocks: Vec<String>,
    /// The incident that knocked it over.
    pub root: Option<u64>,
    /// Version or branch of the last good run.
    pub last_good: Option<String>,
    /// Run, log line, history, commit, compare, runbook.
    #[schema(value_type = Vec<Object>)]
    pub links: Vec<Link>,
}

/// Reads what the first page shows.
pub async fn load(shared: &Shared) -> Result<Now, StoreError> {
    let data = DataAge::of(shared);
    let services = services::load(shared).await?;
    let incidents = shared.store.open_incidents().await?;
    let hidden = shared.store.hidden().await?;
    let open = incidents.iter().map(|incident| {
        let mut one = Open::of(incident, data.now);
        one.hold_back(&hidden);
        if one.state == State::Stalled {
            one.remember(incident, &services.services);
        }
        one
    });
    let mut open: Vec<Open> = open.collect();
    sort(&mut open);
    Ok(Now {
        counters: counters(&services.services),
        data,
        open,
    })
}

/// How many services stand how.
pub fn counters(services: &[services::Service]) -> Vec<Counter> {
    [
        State::Blocked,
        State::Stalled,
        State::Failing,
        State::Flaky,
        State::Healthy,
        State::Unknown,
    ]
    .into_iter()
    .map(|state| Counter {
        state,
        services: services.iter().filter(|one| one.state == state).count(),
    })
    .collect()
}

/// By urgency and age; whatever a root knocked over comes right behind it.
fn sort(open: &mut [Open]) {
    let of_roots: BTreeMap<u64, (State, Timestamp)> = open
        .iter()
        .map(|one| (one.id, (one.state, one.since)))
        .collect();
    open.sort_by_key(|one| {
        let root = one
            .root
            .and_then(|root| Some((*of_roots.get(&root)?, root)));
        let (place, root) = root.unwrap_or(((one.state, one.since), one.id));
        (place, root, one.id != root, one.since, one.id)
    });
}

impl Open {
    /// What did not start has no good run of its own: the last version that was through says what was good.
    fn remember(&mut self, incident: &Incident, services: &[services::Service]) {
        if self.last_good.is_some() {
            return;
        }
        let service = services.iter().find(|one| one.name == self.service);
        let current = service.and_then(|one| one.current.clone());
        self.last_good = current.filter(|current| *current != self.version);
        let since = self.last_good.as_deref();
        self.links
            .extend(since.and_then(|good| incident.since_version(good)));
    }

    /// Says what keeps news of it from somebody, each once.
    fn hold_back(&mut self, hidden: &[(HiddenKey, Hidden)]) {
        let about = |hidden: &&Hidden| hidden.incidents.contains(&IncidentId(self.id));
        let hidden = hidden.iter().map(|(_, hidden)| hidden).filter(about);
        let by: BTreeSet<&str> = hidden.map(|hidden| hidden.by.as_str()).collect();
        self.held_back_by = by.into_iter().map(str::to_owned).collect();
    }

    /// Of an incident, at a time.
    pub fn of(incident: &Incident, now: Timestamp) -> Self {
        let item: Item = incident.item();
        let latest = &incident.latest;
        let critical = latest.class.severity == Severity::Critical;
        let version = latest.version.clone();
        Self {
            id: incident.id.0,
            state: State::of_incident(incident.kind, critical),
            kind: incident.kind.as_str().to_owned(),
            service: incident.owner().to_owned(),
            is_version: version.is_some(),
            is_release: latest.in_release,
            version: version.unwrap_or_else(|| latest.base_ref.clone()),
            stage: latest
                .class
                .stage
                .clone()
                .unwrap_or_else(|| latest.job.clone()),
            since: item.since,
            age_s: now.duration_since(item.since).as_secs().max(0),
            what: item
                .evidence
                .as_ref()
                .map_or(item.what, |evidence| evidence.headline.clone()),
            reason: item
                .evidence
                .as_ref()
                .map(|evidence| evidence.class.words().to_owned()),
            signature: item
                .evidence
                .as_ref()
                .and_then(|evidence| evidence.signature.as_ref())
                .map(ToString::to_string),
            failures: incident.failures,
            run: latest.run.0.clone(),
            job: incident.job.0.clone(),
            told: incident.receivers(),
            held_back_by: Vec::new(),
            ask: item.ask,
            blocks: item.blocks,
            root: incident.root.as_ref().map(|root| {
                let IncidentId(id) = root.incident;
                id
            }),
            last_good: item.last_good.map(|good| good.base_ref),
            links: item.log_link.into_iter().chain(item.links).collect(),
        }
    }
}
