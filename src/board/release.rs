//! One release: where is it stuck? Its stages as a graph, planned ones included, its runs over time, what is open, and
//! what was said of it to whom.

pub mod axis;
pub mod stages;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use self::{
    axis::Axis,
    stages::{Scene, StageView},
};
use super::{age::DataAge, glyph::State, graph::Graph, now::Open, service::Spell};
use crate::{
    domain::{
        incident::{Incident, Run},
        pipeline::Pipeline,
        release::Release,
        verdict::Verdict,
    },
    pipeline::Shared,
    store::{
        StoreError,
        pages::releases::{Parts, Said as StoredSaid},
    },
};

/// What the page of a release shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleasePage {
    /// How old it is.
    pub data: DataAge,
    /// The service.
    pub service: String,
    /// The version, without a leading `v`.
    pub version: String,
    /// The pipeline.
    pub pipeline: String,
    /// How it stands.
    pub state: State,
    /// That in one sentence.
    pub sentence: String,
    /// When its first stage started.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// When its last required stage had done its work.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
    /// Seconds from the first to the last, or to now.
    pub took_s: i64,
    /// Its stages in the order of the configuration; empty when its pipeline is no longer configured.
    pub stages: Vec<StageView>,
    /// The same as a picture.
    pub graph: Graph,
    /// Its runs over time; `None` once they were deleted with age.
    pub axis: Option<Axis>,
    /// What people did to it, and runs beyond the first of a stage.
    pub actions: Vec<Action>,
    /// Its open incidents.
    pub open: Vec<Open>,
    /// Its ended ones, the oldest first.
    pub ended: Vec<Spell>,
    /// What was said of all these, the oldest first.
    pub said: Vec<Said>,
    /// The repository's web address.
    pub repository: Option<String>,
}

/// Something done by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Action {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What: `run again` or `stopped by a person`.
    pub what: String,
    /// To which stage.
    pub stage: String,
    /// The run.
    pub run: String,
    /// How that stands.
    pub state: State,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Said {
    /// The id at its end.
    pub id: String,
    /// What it said.
    pub event: String,
    /// To whom.
    pub receiver: String,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What became of it, in words.
    pub outcome: String,
}

/// Reads a release; `None` when there is none.
pub async fn load(
    shared: &Shared,
    service: &str,
    version: &str,
) -> Result<Option<ReleasePage>, StoreError> {
    let data = DataAge::of(shared);
    let version = version.strip_prefix('v').unwrap_or(version);
    let Some(release) = shared.store.release(service, version).await? else {
        return Ok(None);
    };
    let live = shared.live();
    let pipelines = &live.snapshot.policy.pipelines;
    let pipeline = pipelines.iter().find(|one| one.name == release.pipeline);
    let edges = pipeline.map_or_else(Vec::new, stages::edges_of);
    let parts = shared.store.parts_of(&release, edges).await?;
    let healed = shared.store.healed().await?;
    let open: Vec<&Incident> = parts.incidents.iter().filter(|one| one.is_open()).collect();
    let standing = stages::standing(&release, pipelines, &open, &healed);
    let whole = stages::whole(&release, pipelines, &standing);
    let stages = pipeline.map_or_else(Vec::new, |pipeline: &Pipeline| {
        let scene = Scene {
            release: &release,
            pipeline,
            parts: &parts,
            healed: &healed,
            now: data.now,
        };
        scene.stages(&standing)
    });
    Ok(Some(page(data, &release, (whole, stages), &parts)))
}

fn page(
    data: DataAge,
    release: &Release,
    (whole, stages): (State, Vec<StageView>),
    parts: &Parts,
) -> ReleasePage {
    let (began_at, now) = (release.began_at(), data.now);
    let (open, ended): (Vec<&Incident>, Vec<&Incident>) = parts
        .incidents
        .iter()
        .partition(|incident| incident.is_open());
    let mut open: Vec<Open> = open.into_iter().map(|one| Open::of(one, now)).collect();
    open.sort_by_key(|one| (one.state, one.since, one.id));
    // What is open weighs more than what is done.
    let state = open.first().map_or(whole, |one| one.state);
    let required = || stages.iter().filter(|stage| stage.required);
    let last = required().filter_map(|stage| stage.done_at).max();
    let is_through = whole == State::Healthy;
    let done_at = release.done_at.or(last.filter(|_| is_through));
    ReleasePage {
        service: release.service.clone(),
        version: release.version.clone(),
        pipeline: release.pipeline.clone(),
        sentence: sentence(state, &stages, &open),
        state,
        began_at,
        done_at,
        took_s: done_at
            .unwrap_or(now)
            .duration_since(began_at)
            .as_secs()
            .max(0),
        graph: stages::picture(&stages),
        stages,
        axis: axis::draw(release, &parts.runs, now),
        actions: actions(release, &parts.runs),
        open,
        ended: ended.into_iter().map(|one| Spell::of(one, now)).collect(),
        said: parts.said.iter().map(Said::of).collect(),
        repository: release
            .origin
            .refs
            .as_ref()
            .and_then(|refs| refs.repo_link.clone())
            .filter(|link| link.starts_with("https://") || link.starts_with("http://")),
        data,
    }
}

fn sentence(state: State, stages: &[StageView], open: &[Open]) -> String {
    if let Some(first) = open.first() {
        return if first.what.starts_with(&first.stage) {
            format!("{}.", first.what)
        } else {
            format!("{}: {}", first.stage, first.what)
        };
    }
    if state == State::Healthy {
        return "All required stages have done their work.".to_owned();
    }
    let telling = stages
        .iter()
        .find(|stage| stage.state == state)
        .or_else(|| stages.iter().find(|stage| stage.due_by.is_some()))
        .or_else(|| stages.iter().find(|stage| stage.state == State::Planned));
    match telling {
        Some(stage) => format!("{} {}.", stage.name, stage.detail),
        None => "Its pipeline is no longer configured.".to_owned(),
    }
}

/// Runs beyond the first of each stage, and those that a person stopped. Prow does not keep who it was.
fn actions(release: &Release, runs: &[Run]) -> Vec<Action> {
    let mut found = Vec::new();
    for (stage, seen) in &release.stages {
        let own = runs
            .iter()
            .filter(|run| seen.attempts.contains_key(&run.name));
        for (place, run) in own.enumerate() {
            let action = |at: Option<Timestamp>, what: &str| {
                Some(Action {
                    at: at?,
                    what: what.to_owned(),
                    stage: stage.clone(),
                    run: run.name.0.clone(),
                    state: State::of_verdict(run.verdict),
                })
            };
            if place > 0 {
                found.extend(action(run.started_at, "run again"));
            }
            if run.verdict == Verdict::AbortedByHuman {
                found.extend(action(run.finished_at, "stopped by a person"));
            }
        }
    }
    found.sort_by(|a, b| (a.at, &a.run, &a.what).cmp(&(b.at, &b.run, &b.what)));
    found
}

impl Said {
    fn of(said: &StoredSaid) -> Self {
        let outcome = match &said.delivery {
            None => "deleted with age".to_owned(),
            Some((state, to)) => {
                let word = match state.as_str() {
                    "sent" => "sent",
                    "pending" => "on its way",
                    _ => "not delivered",
                };
                if *to == said.receiver {
                    word.to_owned()
                } else {
                    format!("{word} to {to} instead")
                }
            }
        };
        Self {
            id: said.id.clone(),
            event: said.event.clone(),
            receiver: said.receiver.clone(),
            at: said.at,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests;
