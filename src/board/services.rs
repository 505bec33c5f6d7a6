//! All services at a glance: which of them can release?

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{age::DataAge, glyph::State};
use crate::{
    domain::{
        classify::Severity, health::Health, incident::Incident, pipeline::Pipeline,
        release::Release,
    },
    pipeline::Shared,
    store::{
        StoreError,
        pages::standing::{Cell, ServiceRow},
    },
};

/// First tries are counted over so long.
const TRIES_OVER: SignedDuration = SignedDuration::from_hours(90 * 24);

/// All services.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Services {
    /// How old it is.
    pub data: DataAge,
    /// The most urgent first, then by age of what is open, then by name.
    pub services: Vec<Service>,
}

/// Which services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Only those that stand so.
    pub state: Option<State>,
    /// Only those with this in their name.
    pub named: Option<String>,
}

impl Filter {
    /// Whether a service is one of them.
    pub fn takes(&self, service: &Service) -> bool {
        let stands = self.state.is_none_or(|state| service.state == state);
        let part = self.named.as_deref().unwrap_or_default();
        stands && service.name.to_lowercase().contains(&part.to_lowercase())
    }
}

/// One service.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Since when something is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The newest version that is through.
    pub current: Option<String>,
    /// When that was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_good_at: Option<Timestamp>,
    /// Seconds since then.
    pub last_good_age_s: Option<i64>,
    /// The version on its way, if it is another one.
    pub target: Option<String>,
    /// Stages of the newest release, in the order of the configuration.
    pub stages: Vec<Stage>,
    /// Its last runs, the oldest first; empty where they are not shown.
    pub strip: Vec<Mark>,
    /// Jobs that fare so.
    pub jobs: BTreeMap<String, u64>,
    /// Releases of the last 90 days.
    pub releases: u64,
    /// How many of them needed no second run.
    pub first_try: u64,
}

/// One stage of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Its latest run.
    pub run: Option<String>,
}

/// One run of a strip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mark {
    /// The run.
    pub run: String,
    /// How it ended.
    pub state: State,
    /// When, in epoch milliseconds.
    pub at_ms: i64,
}

impl From<&Cell> for Mark {
    fn from(cell: &Cell) -> Self {
        Self {
            run: cell.run.0.clone(),
            state: State::of_verdict(cell.verdict),
            at_ms: cell.at.as_millisecond(),
        }
    }
}

/// Reads the strips of services.
pub async fn add_strips(shared: &Shared, services: &mut [Service]) -> Result<(), StoreError> {
    let names = services.iter().map(|one| one.name.clone()).collect();
    let mut strips = shared.store.strips(names).await?;
    for one in services {
        let cells = strips.remove(&one.name).unwrap_or_default();
        one.strip = cells.iter().map(Mark::from).collect();
    }
    Ok(())
}

/// Reads all services, without their strips: these cost a look at each job, and few pages show them.
pub async fn load(shared: &Shared) -> Result<Services, StoreError> {
    let data = DataAge::of(shared);
    let live = shared.live();
    let since = data.now.checked_sub(TRIES_OVER).unwrap_or(Timestamp::MIN);
    let rows = shared.store.services(since).await?;
    let open = shared.store.open_incidents().await?;
    let pipelines = &live.snapshot.policy.pipelines;
    let mut services: Vec<Service> = rows
        .into_iter()
        .map(|row| service(row, pipelines, &open, data.now))
        .collect();
    services.sort_by(|a, b| {
        let key = |one: &Service| (one.state, one.since, one.name.clone());
        key(a).cmp(&key(b))
    });
    Ok(Services { data, services })
}

fn service(row: ServiceRow, pipelines: &[Pipeline], open: &[Incident], now: Timestamp) -> Service {
    let own: Vec<&Incident> = open
        .iter()
        .filter(|incident| incident.owner() == row.name)
        .collect();
    let worst = own.iter().map(|incident| state(incident)).min();
    let job_state = row.jobs.keys().copied().min();
    let (current, last_good_at) = row.last_good.unzip();
    let newest = row.newest.as_ref();
    Service {
        state: worst.unwrap_or(match job_state {
            Some(Health::Flaky) => State::Flaky,
            Some(Health::Unknown) | None if current.is_none() => State::Unknown,
            // A red job that nobody is told of is no reason to call its service bad, and jobs that ran too seldom to
            // be judged have still brought a release through.
            Some(Health::Broken | Health::Failing | Health::Healthy | Health::Unknown) | None => {
                State::Healthy
            }
        }),
        since: own.iter().map(|incident| incident.first.at).min(),
        last_good_age_s: last_good_at.map(|at| now.duration_since(at).as_secs().max(0)),
        last_good_at,
        target: newest
            .map(|release| release.version.clone())
            .filter(|version| current.as_ref() != Some(version)),
        current,
        stages: newest.map_or_else(Vec::new, |release| stages(release, pipelines, &own)),
        strip: Vec::new(),
        jobs: row
            .jobs
            .into_iter()
            .map(|(health, count)| (health.as_str().to_owned(), count))
            .collect(),
        releases: row.tries.0,
        first_try: row.tries.1,
        name: row.name,
    }
}

/// How an open incident stands.
pub fn state(incident: &Incident) -> State {
    State::of_incident(
        incident.kind,
        incident.latest.class.severity == Severity::Critical,
    )
}

/// The stages of a release in the order of its pipeline, planned ones included.
pub fn stages(release: &Release, pipelines: &[Pipeline], open: &[&Incident]) -> Vec<Stage> {
    let Some(pipeline) = pipelines.iter().find(|one| one.name == release.pipeline) else {
        return Vec::new();
    };
    pipeline
        .stages
        .iter()
        .map(|stage| {
            let seen = release.stages.get(&stage.name);
            let at_stage =
                |incident: &&&Incident| incident.latest.class.stage.as_ref() == Some(&stage.name);
            let late = open.iter().filter(at_stage).any(|incident| {
                incident.kind.is_lateness()
                    && incident.latest.version.as_ref() == Some(&release.version)
            });
            // One success anywhere brings everybody's version in.
            let healed = stage.shared && !open.iter().any(|incident| at_stage(&incident));
            Stage {
                name: stage.name.clone(),
                state: match State::of_stage(seen) {
                    _ if late => State::Stalled,
                    State::Failing | State::Infra if healed => State::Healthy,
                    State::Planned if release.waiting.contains_key(&stage.name) => State::Waiting,
                    state => state,
                },
                run: seen.map(|seen| seen.run.0.clone()),
            }
        })
        .collect()
}
