//! The stages of one release: how each stands, how long it took or may take, and which of them all waits for.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    board::{
        glyph::State,
        graph::{self, Content, Edge, EdgeKind, Graph},
        services::{self, Stage as Standing},
    },
    domain::{
        gaps::{EdgeKey, allowed},
        incident::{GoodRun, Incident, Run},
        observation::RunName,
        pipeline::{Need, Pipeline, Stage},
        release::{Release, StageSeen},
        time::words,
        verdict::Verdict,
    },
    store::pages::releases::Parts,
};

/// One stage of a release.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// Its latest run.
    pub run: Option<String>,
    /// How many runs it had.
    pub attempts: usize,
    /// Seconds that its latest run took or has taken so far, the wait for its turn not counted.
    pub elapsed_s: Option<i64>,
    /// Seconds that 19 of 20 good runs stayed below.
    pub usual_s: Option<i64>,
    /// By when it is to start; `None` when it started or nothing is expected.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_by: Option<Timestamp>,
    /// When it had done its work.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
    /// What it needs.
    pub needs: Vec<NeedView>,
    /// Whether one success is everybody's.
    pub shared: bool,
    /// Whether a release is not through without it.
    pub required: bool,
    /// Whether the release waits for it, as far as can be foreseen.
    pub critical_path: bool,
    /// How long it took or may take, in few words.
    pub note: String,
    /// The same in a sentence.
    pub detail: String,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NeedView {
    /// The earlier stage.
    pub stage: String,
    /// What the edge is.
    pub kind: EdgeKind,
    /// Seconds that may pass before it counts as late, learned ones included.
    pub within_s: Option<i64>,
    /// Whether it is part of the way that takes longest.
    pub critical: bool,
}

/// The stages of a release in the order of its pipeline, by its runs and what is open; what a person is to start and
/// what others did for all is told from what was never started.
pub fn standing(
    release: &Release,
    pipelines: &[Pipeline],
    open: &[&Incident],
    healed: &BTreeMap<String, GoodRun>,
) -> Vec<Standing> {
    let mut stages = services::stages(release, pipelines, open);
    let Some(pipeline) = pipelines.iter().find(|one| one.name == release.pipeline) else {
        return stages;
    };
    for (standing, stage) in stages.iter_mut().zip(&pipeline.stages) {
        if standing.state != State::Planned {
            continue;
        }
        let done_at = |need: &Need| release.stages.get(&need.stage)?.done_at;
        let needed: Option<Vec<Timestamp>> = stage.needs.iter().map(done_at).collect();
        let ready_at = needed.and_then(|needed| needed.into_iter().max());
        let by_all = healed_at(release, stage, healed).zip(ready_at);
        if by_all.is_some_and(|(healed, ready)| healed >= ready) {
            standing.state = State::Healthy;
        } else if !release.due.contains_key(&stage.name) && is_passed(release, pipeline, stage) {
            standing.state = State::Unknown;
        } else if stage.needs.iter().any(is_gate) && ready_at.is_some() {
            standing.state = State::Waiting;
        }
    }
    stages
}

/// Whether something behind it was seen, so that it is not to come any more.
fn is_passed(release: &Release, pipeline: &Pipeline, stage: &Stage) -> bool {
    let behind = pipeline.downstream(&stage.name);
    behind
        .iter()
        .any(|stage| release.stages.contains_key(*stage))
}

/// How a release stands by its stages: trouble, else whether all that it needs is done, else what is under way.
pub fn whole(release: &Release, pipelines: &[Pipeline], standing: &[Standing]) -> State {
    let states = || standing.iter().map(|stage| stage.state);
    if let Some(trouble) = states().filter(|state| *state < State::Running).min() {
        return trouble;
    }
    let Some(pipeline) = pipelines.iter().find(|one| one.name == release.pipeline) else {
        return release.done_at.map_or(State::Unknown, |_| State::Healthy);
    };
    let is_done = |stage: &Stage| {
        let own = standing.iter().find(|one| one.name == stage.name);
        own.is_some_and(|one| one.state == State::Healthy)
    };
    if release.done_at.is_some() || pipeline.required().all(is_done) {
        return State::Healthy;
    }
    let under_way = [State::Running, State::Waiting, State::Aborted];
    let first = under_way
        .into_iter()
        .find(|way| states().any(|state| state == *way));
    first.unwrap_or(State::Planned)
}

/// Whether a person stands between two stages.
fn is_gate(need: &Need) -> bool {
    need.gate
}

/// What kind of edge it is.
pub fn kind_of(need: &Need) -> EdgeKind {
    match need.within {
        _ if is_gate(need) => EdgeKind::Gate,
        Some(_) => EdgeKind::Starts,
        None => EdgeKind::Needs,
    }
}

fn healed_at(
    release: &Release,
    stage: &Stage,
    healed: &BTreeMap<String, GoodRun>,
) -> Option<Timestamp> {
    let key = format!("{}|{}", release.origin.org(), stage.name);
    healed
        .get(&key)
        .filter(|_| stage.shared)
        .map(|good| good.at)
}

/// Edges whose learned times are of interest.
pub fn edges_of(pipeline: &Pipeline) -> Vec<EdgeKey> {
    let stages = pipeline.stages.iter();
    stages
        .flat_map(|stage| {
            let needs = stage.needs.iter().filter(|need| need.learned);
            needs.map(|need| EdgeKey::of(pipeline, need, &stage.name))
        })
        .collect()
}

/// What stages are seen by.
pub struct Scene<'a> {
    /// The release.
    pub release: &'a Release,
    /// Its pipeline.
    pub pipeline: &'a Pipeline,
    /// What belongs to it.
    pub parts: &'a Parts,
    /// The latest success of shared stages.
    pub healed: &'a BTreeMap<String, GoodRun>,
    /// The present moment.
    pub now: Timestamp,
}

impl Scene<'_> {
    /// Its stages.
    pub fn stages(&self, standing: &[Standing]) -> Vec<StageView> {
        let mut views: Vec<StageView> = self
            .pipeline
            .stages
            .iter()
            .zip(standing)
            .map(|(stage, standing)| self.stage(stage, standing))
            .collect();
        let way = self.critical_path(&views);
        for view in &mut views {
            let place = way.iter().position(|name| *name == view.name);
            view.critical_path = place.is_some();
            let before = place.and_then(|place| way.get(place + 1));
            for need in &mut view.needs {
                need.critical = before == Some(&need.stage);
            }
        }
        views
    }

    fn stage(&self, stage: &Stage, standing: &Standing) -> StageView {
        let seen = self.release.stages.get(&stage.name);
        let run = seen.and_then(|seen| self.run(&seen.run));
        let usual = self.parts.usual.get(&stage.name).copied();
        let mut view = StageView {
            name: stage.name.clone(),
            state: standing.state,
            run: standing.run.clone(),
            attempts: seen.map_or(0, |seen| seen.attempts.len()),
            elapsed_s: seen.and_then(|seen| self.elapsed(seen, run)),
            usual_s: usual.map(seconds),
            due_by: self.due_by(stage, seen),
            done_at: self
                .done_at(stage, seen)
                .filter(|_| standing.state == State::Healthy),
            needs: stage
                .needs
                .iter()
                .map(|need| self.need(need, stage))
                .collect(),
            shared: stage.shared,
            required: self.pipeline.required().any(|one| one.name == stage.name),
            critical_path: false,
            note: String::new(),
            detail: String::new(),
        };
        let queued = run.is_some_and(|run| run.pending_at.is_none() && run.state != "pending");
        (view.note, view.detail) = self.say(&view, stage, seen, queued);
        view
    }

    fn run(&self, name: &RunName) -> Option<&Run> {
        self.parts.runs.iter().find(|run| run.name == *name)
    }

    fn need(&self, need: &Need, stage: &Stage) -> NeedView {
        let gaps = self
            .parts
            .gaps
            .get(&EdgeKey::of(self.pipeline, need, &stage.name));
        NeedView {
            stage: need.stage.clone(),
            kind: kind_of(need),
            within_s: allowed(need, gaps).map(seconds),
            critical: false,
        }
    }

    fn elapsed(&self, seen: &StageSeen, run: Option<&Run>) -> Option<i64> {
        let began = run.and_then(|run| run.pending_at.or(run.started_at));
        let ended = run.and_then(|run| run.finished_at);
        let until = match seen.verdict {
            Verdict::Running => Some(self.now),
            _ => ended.or(seen.done_at),
        };
        let spent = until?.duration_since(began.unwrap_or(seen.latest_at));
        Some(spent.as_secs().max(0))
    }

    /// Where its own run failed and another one did its work for all, the end of the incident.
    fn done_at(&self, stage: &Stage, seen: Option<&StageSeen>) -> Option<Timestamp> {
        let ended = || {
            let incidents = self.parts.incidents.iter();
            let own = incidents
                .filter(|incident| incident.latest.class.stage.as_ref() == Some(&stage.name));
            own.filter_map(|incident| Some(incident.closed_by.as_ref()?.at))
                .max()
        };
        seen.and_then(|seen| seen.done_at).or_else(ended)
    }

    /// Of what was told to be late, the incident still knows when it should have started.
    fn due_by(&self, stage: &Stage, seen: Option<&StageSeen>) -> Option<Timestamp> {
        if seen.is_some() {
            return None;
        }
        let due = self.release.due.get(&stage.name).map(|due| due.by);
        let late = || {
            let told = self.parts.incidents.iter().find(|incident| {
                incident.is_open()
                    && incident.kind.is_lateness()
                    && incident.latest.class.stage.as_ref() == Some(&stage.name)
            });
            told.map(|incident| incident.first.at)
        };
        due.or_else(late)
    }

    /// How long it took or may take: in few words, and in a sentence.
    fn say(
        &self,
        view: &StageView,
        stage: &Stage,
        seen: Option<&StageSeen>,
        queued: bool,
    ) -> (String, String) {
        let usual = view.usual_s.map(words);
        let spent = view.elapsed_s.map_or_else(|| "a while".to_owned(), words);
        if let Some(seen) = seen {
            return match (view.state, usual) {
                (State::Healthy, _) if seen.done_at.is_none() && seen.verdict.is_bad() => (
                    "done for all by another".to_owned(),
                    format!(
                        "its own run failed after {spent}; another one did it for all services"
                    ),
                ),
                (State::Running, _) if queued => (
                    format!("queued for {spent}"),
                    format!("waits for its turn since {spent}"),
                ),
                (State::Running, Some(usual)) => (
                    format!("{spent} of {usual}"),
                    format!("has run for {spent}; 19 of 20 good runs ended within {usual}"),
                ),
                (State::Running, None) => (format!("for {spent}"), format!("has run for {spent}")),
                (State::Healthy, Some(usual)) => (
                    format!("{spent}, usually {usual}"),
                    format!("took {spent}; 19 of 20 good runs ended within {usual}"),
                ),
                (State::Healthy, None) => (format!("took {spent}"), format!("took {spent}")),
                _ => (format!("after {spent}"), format!("ended after {spent}")),
            };
        }
        self.say_unseen(view, stage)
    }

    fn say_unseen(&self, view: &StageView, stage: &Stage) -> (String, String) {
        if view.state == State::Healthy {
            let since = healed_at(self.release, stage, self.healed);
            let ago = since.map_or(0, |at| self.now.duration_since(at).as_secs());
            let told = format!("done for all services, last {} ago", words(ago));
            return ("done for all".to_owned(), told);
        }
        if let Some(by) = view.due_by {
            let left = by.duration_since(self.now).as_secs();
            return if left >= 0 {
                (
                    format!("due in {}", words(left)),
                    format!("is to start within {}", words(left)),
                )
            } else {
                (
                    format!("{} late", words(-left)),
                    format!("should have started {} ago", words(-left)),
                )
            };
        }
        if view.state == State::Unknown {
            let told = "was not seen, though something behind it has started";
            return ("not seen".to_owned(), told.to_owned());
        }
        let needs: Vec<&str> = view.needs.iter().map(|need| need.stage.as_str()).collect();
        if view.state == State::Waiting {
            let told = format!("a person starts it after {}", needs.join(" and "));
            return ("a person starts it".to_owned(), told);
        }
        match needs.as_slice() {
            [] => ("begins a release".to_owned(), "begins a release".to_owned()),
            needs => {
                let told = format!("comes after {}", needs.join(" and "));
                (String::new(), told)
            }
        }
    }

    /// Stages of the way that takes longest, from its end on, by when each ended or may end.
    fn critical_path(&self, views: &[StageView]) -> Vec<String> {
        let mut ends: BTreeMap<&str, Timestamp> = BTreeMap::new();
        // Stages may stand in any order, but a way is never longer than there are stages.
        for _ in views {
            for view in views {
                let needed = view
                    .needs
                    .iter()
                    .filter_map(|need| ends.get(need.stage.as_str()));
                let from = needed
                    .max()
                    .copied()
                    .unwrap_or_else(|| self.release.began_at());
                let usual = Duration::from_secs(
                    view.usual_s
                        .and_then(|usual| u64::try_from(usual).ok())
                        .unwrap_or(1),
                );
                let end = view.done_at.unwrap_or_else(|| {
                    // What is good without a time of its own was good before we looked.
                    if matches!(view.state, State::Healthy | State::Unknown) {
                        return from;
                    }
                    let from = from.max(self.now);
                    from.checked_add(usual).unwrap_or(from)
                });
                ends.insert(&view.name, end);
            }
        }
        let required: Vec<&str> = self
            .pipeline
            .required()
            .map(|stage| stage.name.as_str())
            .collect();
        let last = views
            .iter()
            .filter(|view| required.contains(&view.name.as_str()))
            .max_by_key(|view| ends.get(view.name.as_str()));
        let mut way = Vec::new();
        let mut next = last;
        while let Some(view) = next.filter(|view| !way.contains(&view.name)) {
            way.push(view.name.clone());
            let before = view
                .needs
                .iter()
                .max_by_key(|need| ends.get(need.stage.as_str()));
            next = before.and_then(|need| views.iter().find(|one| one.name == need.stage));
        }
        way
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The picture of stages.
pub fn picture(stages: &[StageView]) -> Graph {
    let place = |name: &str| stages.iter().position(|stage| stage.name == name);
    let edges: Vec<Edge> = stages
        .iter()
        .enumerate()
        .flat_map(|(to, stage)| {
            stage.needs.iter().filter_map(move |need| {
                let from = place(&need.stage)?;
                Some(Edge {
                    from,
                    to,
                    kind: need.kind,
                    critical: need.critical,
                })
            })
        })
        .collect();
    let contents = stages.iter().map(content).collect();
    graph::draw(contents, &edges)
}

fn content(stage: &StageView) -> Content {
    Content {
        name: stage.name.clone(),
        state: stage.state,
        beside: match stage.attempts {
            0 | 1 => String::new(),
            runs => format!(" · {runs} runs"),
        },
        note: stage.note.clone(),
        link: stage.run.as_ref().map(|_| format!("#stage-{}", stage.name)),
        critical: stage.critical_path,
    }
}
