//! Silences and mute windows: what they hide now, and what a silence would hide before it is made.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{age::DataAge, now::Open};
use crate::{
    domain::{
        hush::{Hidden, HiddenKey, HushKey, would_hide},
        incident::IncidentId,
        mute,
        silence::{Silence, Standing, read_matchers},
        time::words,
    },
    pipeline::Shared,
    store::StoreError,
};

/// Silences that ended are shown for so long, unless all are asked for.
const ENDED_SHOWN: SignedDuration = SignedDuration::from_hours(24);

/// What the page shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Silences {
    /// How old it is.
    pub data: DataAge,
    /// Active ones first, then those to come, then those that ended.
    pub silences: Vec<One>,
    /// Mute windows of the configuration.
    pub windows: Vec<Window>,
    /// What a silence with the matchers that are asked for would hide; `None` when none are.
    pub preview: Option<Preview>,
    /// How long a silence may last, in words.
    pub longest: String,
    /// Whether silences that ended long ago are shown too.
    pub all: bool,
}

/// One silence.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct One {
    /// Its number.
    pub id: u64,
    /// `active`, `pending` or `expired`.
    #[schema(value_type = String)]
    pub standing: Standing,
    /// All must match.
    pub matchers: Vec<String>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// In force from then on.
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: Timestamp,
    /// In force until then.
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: Timestamp,
    /// Seconds until its end; negative when it is over.
    pub ends_in_s: i64,
    /// Who ended it early.
    pub expired_by: Option<String>,
    /// Incidents that it hides now.
    pub hides: usize,
}

/// One mute window.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Window {
    /// Its name.
    pub name: String,
    /// All must match; none is everything.
    pub matchers: Vec<String>,
    /// When, in words.
    pub when: String,
    /// Whether it hides what is critical too.
    pub critical: bool,
    /// Whether it applies only where routes name it.
    pub on_routes: bool,
    /// Until when it is open; `None` when it is not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub open_until: Option<Timestamp>,
    /// Incidents that it hides now.
    pub hides: usize,
}

/// What a silence would hide.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Preview {
    /// The matchers as written, one a line.
    pub written: String,
    /// Why they cannot be read.
    pub error: Option<String>,
    /// Open incidents that match.
    pub open: Vec<Open>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Matchers to preview, several of them in one text on lines of their own.
    pub matchers: Vec<String>,
    /// Whether silences that ended long ago are wanted too.
    pub all: bool,
}

/// Reads what the page shows.
pub async fn load(shared: &Shared, query: &Query) -> Result<Silences, StoreError> {
    let data = DataAge::of(shared);
    let now = data.now;
    let after = if query.all {
        Timestamp::UNIX_EPOCH
    } else {
        now - ENDED_SHOWN
    };
    let hides = hides(&shared.store.hidden().await?);
    let mut silences: Vec<One> = shared
        .store
        .silences(after)
        .await?
        .iter()
        .map(|silence| One::of(silence, &hides, now))
        .collect();
    silences.sort_by_key(|one| (one.standing, one.ends_at, one.id));
    let preview = if query.matchers.is_empty() {
        None
    } else {
        Some(preview(shared, &query.matchers, now).await?)
    };
    let live = shared.live();
    let windows = live.snapshot.policy.mutes.iter();
    let longest = live.snapshot.config.settings.longest_silence.as_secs();
    Ok(Silences {
        windows: windows
            .map(|window| Window::of(window, &hides, now))
            .collect(),
        longest: words(i64::try_from(longest).unwrap_or(i64::MAX)),
        all: query.all,
        data,
        silences,
        preview,
    })
}

async fn preview(
    shared: &Shared,
    written: &[String],
    now: Timestamp,
) -> Result<Preview, StoreError> {
    let lines = split(written);
    let (error, open) = match read_matchers(&lines) {
        Ok(matchers) => {
            let open = shared.store.open_incidents().await?;
            let hidden = open.iter().filter(|one| would_hide(&matchers, one));
            (None, hidden.map(|one| Open::of(one, now)).collect())
        }
        Err(error) => (Some(error.to_string()), Vec::new()),
    };
    Ok(Preview {
        written: lines.join("\n"),
        error,
        open,
    })
}

/// Matchers as a form sends them: several in one text, on lines of their own.
pub fn split(written: &[String]) -> Vec<String> {
    let lines = written.iter().flat_map(|text| text.lines());
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// How many incidents each silence and window hides, whoever is spared them.
fn hides(hidden: &[(HiddenKey, Hidden)]) -> BTreeMap<HushKey, usize> {
    let mut incidents: BTreeMap<&HushKey, BTreeSet<IncidentId>> = BTreeMap::new();
    for ((key, _), hidden) in hidden {
        incidents.entry(key).or_default().extend(&hidden.incidents);
    }
    let counts = incidents.into_iter();
    counts.map(|(key, all)| (key.clone(), all.len())).collect()
}

impl One {
    /// Of a silence that was just made or ended: what it hides is not known yet.
    pub fn new(silence: &Silence, now: Timestamp) -> Self {
        Self::of(silence, &BTreeMap::new(), now)
    }

    fn of(silence: &Silence, hides: &BTreeMap<HushKey, usize>, now: Timestamp) -> Self {
        let hides = hides.get(&HushKey::of_silence(silence.id)).copied();
        Self {
            id: silence.id.0,
            standing: silence.standing(now),
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            author: silence.author.clone(),
            reason: silence.reason.clone(),
            created_at: silence.created_at,
            starts_at: silence.starts_at,
            ends_at: silence.ends_at,
            ends_in_s: silence.ends_at.duration_since(now).as_secs(),
            expired_by: silence.expired_by.clone(),
            hides: hides.unwrap_or(0),
        }
    }
}

impl Window {
    fn of(window: &mute::Window, hides: &BTreeMap<HushKey, usize>, now: Timestamp) -> Self {
        let hides = hides.get(&HushKey::of_window(&window.name)).copied();
        Self {
            name: window.name.clone(),
            matchers: window.matchers.iter().map(ToString::to_string).collect(),
            when: window.words(),
            critical: window.critical,
            on_routes: window.on_routes,
            open_until: window.until(now),
            hides: hides.unwrap_or(0),
        }
    }
}
