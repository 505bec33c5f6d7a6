//! Jobs that fail most, and jobs that are flaky or broken.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Query, Share, back, is_drop};
use crate::{
    board::{glyph::State, job::name},
    domain::stats::{discoveries, fisher_worse},
    pipeline::Shared,
    store::{
        StoreError,
        pages::failing::{Compare, FailingRow, SickRow},
    },
};

/// Jobs that are listed.
const LISTED: usize = 20;
/// Days over which failures are counted.
const DAYS: u16 = 30;
/// Days that are compared with the 30 before them.
const LATELY: u16 = 7;
/// Of the jobs called worse so many may be none, as a share.
const FALSE_RATE: f64 = 0.1;

/// A job that fails.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Failing {
    /// Its identity.
    pub job: String,
    /// Its name.
    pub name: String,
    /// Its service or owner.
    pub owner: Option<String>,
    /// Place in the release.
    pub stage: Option<String>,
    /// Bad runs among those of 30 days.
    pub failed: Share,
    /// Of the bad runs, those that the cluster or Prow failed.
    pub infra: usize,
    /// Passed in the last 7 days.
    pub lately: Share,
    /// Passed in the 30 days before.
    pub before: Share,
    /// Whether it is significantly worse than before, with all jobs that were compared taken into account.
    pub worse: bool,
}

/// A job that is flaky or broken.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Sick {
    /// Its identity.
    pub job: String,
    /// Its name.
    pub name: String,
    /// Its service or owner.
    pub owner: Option<String>,
    /// Place in the release.
    pub stage: Option<String>,
    /// How it stands.
    pub state: State,
    /// What that rests on.
    pub sentence: String,
    /// How sure that is.
    pub confidence: String,
}

pub(super) async fn load(
    shared: &Shared,
    query: &Query,
    now: Timestamp,
) -> Result<(Vec<Failing>, (Vec<Sick>, u64)), StoreError> {
    let times = Compare {
        since: back(now, DAYS),
        before_from: back(now, LATELY + DAYS),
        lately_from: back(now, LATELY),
    };
    let store = &shared.store;
    let rows = store.failing_jobs(times, query.service.clone()).await?;
    let (sick, total) = store.sick_jobs(LISTED, query.service.clone()).await?;
    Ok((
        listed(rows),
        (sick.into_iter().map(Sick::from).collect(), total),
    ))
}

/// All that fail often enough are compared with their past together, so that luck does not make a trend of one of many.
fn listed(rows: Vec<FailingRow>) -> Vec<Failing> {
    let chances: Vec<f64> = rows
        .iter()
        .map(|row| {
            if is_drop(row.lately, row.before) {
                fisher_worse(row.lately, row.before)
            } else {
                1.0
            }
        })
        .collect();
    let worse = discoveries(&chances, FALSE_RATE);
    rows.into_iter()
        .zip(worse)
        .take(LISTED)
        .map(|(row, worse)| Failing {
            name: name(&row.job).to_owned(),
            job: row.job.0,
            owner: row.owner,
            stage: row.stage,
            failed: Share::of(row.failed.min(row.all), row.all),
            infra: row.infra,
            lately: Share::of(row.lately.good, row.lately.all),
            before: Share::of(row.before.good, row.before.all),
            worse,
        })
        .collect()
}

impl From<SickRow> for Sick {
    fn from(row: SickRow) -> Self {
        Self {
            name: name(&row.job).to_owned(),
            job: row.job.0,
            owner: row.owner,
            stage: row.stage,
            state: State::of_health(row.checkup.health),
            sentence: row.checkup.sentence,
            confidence: row.checkup.confidence.to_owned(),
        }
    }
}
