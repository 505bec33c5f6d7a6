//! The runs of a release on an axis of time, one row per stage.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    board::glyph::State,
    domain::{incident::Run, release::Release, time::words},
};

/// Names of stages stand left of the axis.
const LEFT: i64 = 190;
/// Of the axis.
const WIDTH: i64 = 720;
/// Of a row.
const ROW: i64 = 30;
/// So that the shortest run can be seen and hit.
const SHORTEST: i64 = 8;
/// Marks of time on the axis.
const TICKS: i64 = 4;
/// Under the rows, for the marks' words.
const FOOT: i64 = 26;

/// The picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Axis {
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
    /// Stages that were seen.
    pub rows: Vec<Row>,
    /// Marks of time.
    pub ticks: Vec<Tick>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Row {
    /// Its name.
    pub stage: String,
    /// Upper edge.
    pub y: i64,
    /// Its runs by start.
    pub bars: Vec<Bar>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bar {
    /// Its name.
    pub run: String,
    /// How it ended.
    pub state: State,
    /// Which one of its stage it is, from 1 on.
    pub attempt: usize,
    /// Left edge.
    pub x: i64,
    /// Pixels.
    pub width: i64,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Seconds from its start to its end or to now.
    pub took_s: i64,
}

/// A mark of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tick {
    /// Where.
    pub x: i64,
    /// How long after the beginning.
    pub label: String,
}

/// Minutes and seconds as long as these tell marks apart.
fn label(span: i64, since: i64) -> String {
    if span < 3600 {
        format!("+{}:{:02} min", since / 60, since % 60)
    } else {
        format!("+{}", words(since))
    }
}

/// Draws runs; `None` without any.
pub fn draw(release: &Release, runs: &[Run], now: Timestamp) -> Option<Axis> {
    let start = |run: &Run| run.started_at.or(run.pending_at).or(run.finished_at);
    let end = |run: &Run| run.finished_at.unwrap_or(now);
    let from = runs.iter().filter_map(start).min()?;
    let to = runs.iter().map(end).max()?.max(from);
    let span = to.duration_since(from).as_secs().max(1);
    let x_of = |at: Timestamp| {
        let since = at.duration_since(from).max(SignedDuration::ZERO).as_secs();
        LEFT + since.min(span) * (WIDTH - SHORTEST) / span
    };
    let mut rows: Vec<(Timestamp, Row)> = Vec::new();
    for (stage, seen) in &release.stages {
        let mut own: Vec<&Run> = runs
            .iter()
            .filter(|run| seen.attempts.contains_key(&run.name))
            .collect();
        own.sort_by_key(|run| (start(run), &run.name));
        let bars = own.iter().enumerate().map(|(place, run)| {
            let began = start(run).unwrap_or(from);
            let x = x_of(began);
            Bar {
                run: run.name.0.clone(),
                state: State::of_verdict(run.verdict),
                attempt: place + 1,
                x,
                width: (x_of(end(run)) - x).max(SHORTEST),
                from: began,
                took_s: end(run).duration_since(began).as_secs().max(0),
            }
        });
        let row = Row {
            stage: stage.clone(),
            y: 0,
            bars: bars.collect(),
        };
        rows.push((seen.started_at, row));
    }
    rows.sort_by(|a, b| (a.0, &a.1.stage).cmp(&(b.0, &b.1.stage)));
    let mut y = 0;
    for (_, row) in &mut rows {
        row.y = y;
        y += ROW;
    }
    let ticks = (0..=TICKS).map(|step| Tick {
        x: LEFT + (WIDTH - SHORTEST) * step / TICKS,
        label: if step == 0 {
            "start".to_owned()
        } else {
            label(span, span * step / TICKS)
        },
    });
    Some(Axis {
        width: LEFT + WIDTH + 60,
        height: y + FOOT,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        ticks: ticks.collect(),
    })
}
