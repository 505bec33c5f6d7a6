//! A pipeline across all services: of 77, which failed, and where? One node per stage with counts; the services that
//! are in trouble stand behind each.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Span, Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    age::DataAge,
    glyph::State,
    graph::{self, Content, Edge, Graph},
    release::stages::{kind_of, standing, whole},
    service::Cell,
};
use crate::{
    domain::{
        incident::Incident,
        pipeline::{Pipeline, Stage},
        release::Release,
    },
    pipeline::Shared,
    store::{
        StoreError,
        pages::releases::{MAX_FLEET, Which},
    },
};

/// What the page shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FanOut {
    /// How old it is.
    pub data: DataAge,
    /// The pipeline.
    pub pipeline: String,
    /// What was asked for: a version, or a time.
    pub asked: String,
    /// The same in words.
    pub title: String,
    /// One node per stage.
    pub graph: Graph,
    /// Its stages in the order of the configuration.
    pub stages: Vec<StageCount>,
    /// Releases, those in trouble first, then by service.
    pub members: Vec<Member>,
    /// Whether there are more than are shown.
    pub cut: bool,
    /// Releases by how they stand as a whole.
    pub totals: Vec<Total>,
}

/// A stage across services.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StageCount {
    /// Its name.
    pub name: String,
    /// The most urgent state of any.
    pub state: State,
    /// How many stand how, the most urgent first; states that none has are left out.
    pub counts: Vec<Count>,
}

/// Releases whose stage stands so.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Count {
    /// How it stands.
    pub state: State,
    /// How many.
    pub releases: usize,
    /// Of all, in whole percent; never 0.
    pub percent: usize,
    /// Whose, and the run to look at.
    pub members: Vec<Who>,
}

/// Whose stage it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Who {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// The run to look at.
    pub run: Option<String>,
}

/// One release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The service.
    pub service: String,
    /// The version.
    pub version: String,
    /// How it stands as a whole.
    pub state: State,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Its stages.
    pub cells: Vec<Cell>,
}

/// Releases that stand so as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Total {
    /// How they stand.
    pub state: State,
    /// How many.
    pub releases: usize,
}

/// Reads the releases of a pipeline; `None` when there is no such pipeline. What is asked for is a version, a length of
/// time until now (`24h`, `7d`), a UTC day (`2026-05-19`), or two days or moments with `..` between them.
pub async fn load(
    shared: &Shared,
    pipeline: &str,
    asked: &str,
) -> Result<Option<FanOut>, StoreError> {
    let data = DataAge::of(shared);
    let live = shared.live();
    let pipelines = &live.snapshot.policy.pipelines;
    let Some(pipeline) = pipelines.iter().find(|one| one.name == pipeline) else {
        return Ok(None);
    };
    let (which, title) = which(asked, data.now);
    let releases = shared.store.fleet(&pipeline.name, which).await?;
    let open = shared.store.open_incidents().await?;
    let healed = shared.store.healed().await?;
    let cut = releases.len() >= MAX_FLEET;
    let mut members: Vec<Member> = releases
        .iter()
        .map(|release| {
            let own: Vec<&Incident> = open
                .iter()
                .filter(|incident| incident.owner() == release.service)
                .collect();
            let standing = standing(release, pipelines, &own, &healed);
            member(release, &standing, whole(release, pipelines, &standing))
        })
        .collect();
    members
        .sort_by(|a, b| (a.state, &a.service, &b.version).cmp(&(b.state, &b.service, &a.version)));
    let stages: Vec<StageCount> = pipeline
        .stages
        .iter()
        .map(|stage| count(&stage.name, &members))
        .collect();
    Ok(Some(FanOut {
        pipeline: pipeline.name.clone(),
        asked: asked.to_owned(),
        title,
        graph: picture(pipeline, &stages, members.len()),
        totals: totals(&members),
        stages,
        members,
        cut,
        data,
    }))
}

fn member(release: &Release, stages: &[super::services::Stage], state: State) -> Member {
    let cells: Vec<Cell> = stages
        .iter()
        .map(|stage| Cell {
            stage: stage.name.clone(),
            state: stage.state,
            run: stage.run.clone(),
            attempts: release
                .stages
                .get(&stage.name)
                .map_or(0, |seen| seen.attempts.len()),
        })
        .collect();
    Member {
        service: release.service.clone(),
        version: release.version.clone(),
        state,
        began_at: release.began_at(),
        cells,
    }
}

fn count(stage: &str, members: &[Member]) -> StageCount {
    let mut by_state: BTreeMap<State, Vec<Who>> = BTreeMap::new();
    for member in members {
        if let Some(cell) = member.cells.iter().find(|cell| cell.stage == stage) {
            by_state.entry(cell.state).or_default().push(Who {
                service: member.service.clone(),
                version: member.version.clone(),
                run: cell.run.clone(),
            });
        }
    }
    StageCount {
        name: stage.to_owned(),
        state: by_state.keys().next().copied().unwrap_or(State::Unknown),
        counts: by_state
            .into_iter()
            .map(|(state, members_so)| Count {
                state,
                releases: members_so.len(),
                percent: (members_so.len() * 100 / members.len().max(1)).max(1),
                members: members_so,
            })
            .collect(),
    }
}

fn totals(members: &[Member]) -> Vec<Total> {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for member in members {
        *counts.entry(member.state).or_default() += 1;
    }
    let total = |(state, releases)| Total { state, releases };
    counts.into_iter().map(total).collect()
}

fn picture(pipeline: &Pipeline, stages: &[StageCount], all: usize) -> Graph {
    let place = |name: &str| pipeline.stages.iter().position(|stage| stage.name == name);
    let edges: Vec<Edge> = pipeline
        .stages
        .iter()
        .enumerate()
        .flat_map(|(to, stage): (usize, &Stage)| {
            stage.needs.iter().filter_map(move |need| {
                Some(Edge {
                    from: place(&need.stage)?,
                    to,
                    kind: kind_of(need),
                    critical: false,
                })
            })
        })
        .collect();
    let contents = stages.iter().map(|stage| content(stage, all)).collect();
    graph::draw(contents, &edges)
}

fn content(stage: &StageCount, all: usize) -> Content {
    let rest = stage
        .counts
        .iter()
        .skip(1)
        .map(|count| format!("{} {}", count.releases, count.state.glyph().word));
    let worst = stage.counts.first().map_or(0, |count| count.releases);
    Content {
        name: stage.name.clone(),
        state: stage.state,
        beside: format!(" · {worst} of {all}"),
        note: rest.collect::<Vec<_>>().join(", "),
        link: Some(format!("#stage-{}", stage.name)),
        critical: false,
    }
}

/// What was asked for, and its name.
fn which(asked: &str, now: Timestamp) -> (Which, String) {
    if let Some(from) = ago(asked, now) {
        // What begins at this very moment is of it too.
        let to = now.checked_add(SignedDuration::from_secs(1)).unwrap_or(now);
        return (Which::Began { from, to }, format!("last {asked}"));
    }
    let range = match asked.split_once("..") {
        Some((from, to)) => begin(from).zip(end(to)),
        None => day(asked).and(begin(asked).zip(end(asked))),
    };
    if let Some((from, to)) = range {
        return (Which::Began { from, to }, asked.replace("..", " to "));
    }
    let version = asked.strip_prefix('v').unwrap_or(asked).to_owned();
    let title = format!("version {version}");
    (Which::Version(version), title)
}

fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let number: i64 = text.get(..text.len().checked_sub(1)?)?.parse().ok()?;
    let hours = match text.chars().last()? {
        'h' => number,
        'd' => number.checked_mul(24)?,
        _ => return None,
    };
    let hours = (0..=24 * 400).contains(&hours).then_some(hours)?;
    now.checked_sub(SignedDuration::from_hours(hours)).ok()
}

fn day(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|_| text.len() == 10)
}

fn begin(text: &str) -> Option<Timestamp> {
    match day(text) {
        Some(day) => Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp()),
        None => text.parse().ok(),
    }
}

/// Behind the day, or the moment itself.
fn end(text: &str) -> Option<Timestamp> {
    match day(text) {
        Some(day) => {
            let next = day.checked_add(Span::new().days(1)).ok()?;
            Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
        }
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> String {
        let now = "2026-05-20T12:00:00Z".parse().unwrap();
        match which(text, now).0 {
            Which::Version(version) => version,
            Which::Began { from, to } => format!("{from} {to}"),
        }
    }

    #[test]
    fn a_version_a_day_a_range_and_the_last_hours_can_be_asked_for() {
        for (text, expected) in [
            ("v1.4.0", "1.4.0"),
            ("24h", "2026-05-19T12:00:00Z 2026-05-20T12:00:01Z"),
            ("7d", "2026-05-13T12:00:00Z 2026-05-20T12:00:01Z"),
            ("2026-05-19", "2026-05-19T00:00:00Z 2026-05-20T00:00:00Z"),
            (
                "2026-05-18..2026-05-19",
                "2026-05-18T00:00:00Z 2026-05-20T00:00:00Z",
            ),
            (
                "2026-05-19T20:34:00Z..2026-05-19T22:00:00Z",
                "2026-05-19T20:34:00Z 2026-05-19T22:00:00Z",
            ),
            // A version in spite of its looks.
            ("v20240115-1a2b3c4", "20240115-1a2b3c4"),
            ("9999999999999999999d", "9999999999999999999d"),
            ("..", ".."),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(asked(text), expected, "{text}");
        }
    }

    #[test]
    fn stages_are_counted_by_state_with_the_worst_first() {
        let member = |service: &str, state| Member {
            service: service.to_owned(),
            version: "1.4.0".to_owned(),
            state,
            began_at: Timestamp::UNIX_EPOCH,
            cells: vec![Cell {
                stage: "publish".to_owned(),
                state,
                run: None,
                attempts: 1,
            }],
        };
        let members = [
            member("s3", State::Healthy),
            member("rds", State::Failing),
            member("sns", State::Healthy),
        ];
        let counted = count("publish", &members);
        let told: Vec<(State, usize, usize)> = counted
            .counts
            .iter()
            .map(|count| (count.state, count.releases, count.percent))
            .collect();
        assert_eq!(told, [(State::Failing, 1, 33), (State::Healthy, 2, 66)]);
        assert_eq!(counted.state, State::Failing);
        assert_eq!(counted.counts[0].members[0].service, "rds");
    }
}
