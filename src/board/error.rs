//! One error: is it everybody's problem?

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{age::DataAge, glyph::State, job, trends::back};
use crate::{
    domain::evidence::{Evidence, Finding, Signature},
    evidence::signature::template,
    pipeline::Shared,
    store::{
        StoreError,
        pages::errors::{ErrorRow, LOOKED_AT, SeenRow},
    },
};

/// Days of the map.
pub const DAYS: u16 = 30;
/// Owners of the map; the others are counted.
const OWNERS: usize = 40;
/// Occurrences that are listed.
const LISTED: usize = 50;

/// What the page of an error shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Error {
    /// How old it is.
    pub data: DataAge,
    /// Its signature.
    pub signature: String,
    /// What kind, in words.
    pub class: String,
    /// The deciding line of the latest.
    pub headline: String,
    /// What is the same of it everywhere.
    pub template: String,
    /// The rule that chose the line.
    pub rule: Option<String>,
    /// How often it was found.
    pub count: u64,
    /// When it was first found.
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    /// When last.
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// Services, or owners, of the last 30 days.
    pub owners: usize,
    /// Whether it is so frequent that only the last 2000 were looked at.
    pub capped: bool,
    /// Days of the map, the first one.
    #[schema(value_type = String, format = DateTime)]
    pub map_from: Timestamp,
    /// Who had it on which day, the most frequent first, at most 40.
    pub map: Vec<MapRow>,
    /// The latest, at most 50.
    pub runs: Vec<Occurrence>,
}

/// One row of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MapRow {
    /// Service or owner.
    pub owner: String,
    /// How often in all.
    pub count: u64,
    /// How often by day.
    pub days: Vec<u64>,
}

/// One occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Occurrence {
    /// The run.
    pub run: String,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How.
    pub state: State,
    /// Its job.
    pub job: String,
    /// The job's name.
    pub name: String,
    /// Service or owner.
    pub owner: Option<String>,
    /// Place in the release.
    pub stage: Option<String>,
    /// Version or branch.
    pub base_ref: String,
}

/// Reads what the page of an error shows; `None` of one that is not known.
pub async fn load(shared: &Shared, signature: &str) -> Result<Option<Error>, StoreError> {
    let data = DataAge::of(shared);
    let from = midnight(back(data.now, DAYS - 1));
    let asked = Signature(signature.to_owned());
    let found = shared.store.error(asked, from).await?;
    Ok(found.and_then(|row| Error::new(signature, row, data, from)))
}

fn midnight(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(at)
}

impl Error {
    fn new(signature: &str, row: ErrorRow, data: DataAge, from: Timestamp) -> Option<Self> {
        let Finding::Found(Evidence {
            class,
            headline,
            rule,
            ..
        }) = row.finding
        else {
            return None;
        };
        let owners: BTreeSet<&str> = row.seen.iter().map(owner).collect();
        Some(Self {
            signature: signature.to_owned(),
            class: class.words().to_owned(),
            template: template(class, &headline),
            headline,
            rule,
            count: row.count,
            first_at: row.first_at,
            last_at: row.last_at,
            owners: owners.len(),
            capped: row.seen.len() == LOOKED_AT,
            map_from: from,
            map: map(&row.seen, from),
            runs: row.seen.iter().take(LISTED).map(Occurrence::from).collect(),
            data,
        })
    }
}

fn owner(seen: &SeenRow) -> &str {
    seen.owner.as_deref().unwrap_or("nobody's")
}

fn map(seen: &[SeenRow], from: Timestamp) -> Vec<MapRow> {
    let mut rows: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for one in seen {
        let day = one
            .at
            .duration_since(from)
            .max(SignedDuration::ZERO)
            .as_hours()
            / 24;
        let days = rows
            .entry(owner(one))
            .or_insert_with(|| vec![0; DAYS.into()]);
        if let Some(count) = usize::try_from(day).ok().and_then(|day| days.get_mut(day)) {
            *count += 1;
        }
    }
    let mut rows: Vec<MapRow> = rows
        .into_iter()
        .map(|(owner, days)| MapRow {
            owner: owner.to_owned(),
            count: days.iter().sum(),
            days,
        })
        .collect();
    rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.owner.cmp(&b.owner)));
    rows.truncate(OWNERS);
    rows
}

impl From<&SeenRow> for Occurrence {
    fn from(row: &SeenRow) -> Self {
        Self {
            run: row.run.0.clone(),
            at: row.at,
            state: State::of_verdict(row.verdict),
            name: job::name(&row.job).to_owned(),
            job: row.job.0.clone(),
            owner: row.owner.clone(),
            stage: row.stage.clone(),
            base_ref: row.base_ref.clone(),
        }
    }
}
