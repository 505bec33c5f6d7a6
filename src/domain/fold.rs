//! Who is told when: alone, in one message about a shared cause, or in a digest.
//!
//! Each incident owes its receivers up to three kinds of news. What is owed waits in a [`Fold`] (one per
//! cause and receiver) or in a [`Digest`] (one per receiver) until [`super::state::State::flush`] takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    classify::Classification,
    hush::Hush,
    incident::IncidentId,
    job::JobKey,
    notification::{DigestKind, MAX_ITEMS},
    policy::{SHARED_FROM, SHARED_GAP, SHARED_GAP_CAP, SHARED_WITHIN},
    time::after,
};

/// What incidents may share: a stage at one severity. A job without a stage shares nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CauseKey(pub String);

impl CauseKey {
    /// The cause that an incident of this class counts towards.
    pub fn of(class: &Classification, job: &JobKey) -> Self {
        match &class.stage {
            Some(stage) => Self(format!("{stage}|{}", class.severity)),
            None => Self(format!("job:{job}")),
        }
    }
}

impl fmt::Display for CauseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind of news about an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// It opened.
    Opened,
    /// It failed again within the window that ended.
    Still,
    /// It closed.
    Recovered,
}

/// A cause and who suffers from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Open incidents and their owners.
    pub open: BTreeMap<IncidentId, String>,
    /// When each owner was last struck, within [`SHARED_WITHIN`]; the evidence that a cause is shared.
    pub struck: BTreeMap<String, Timestamp>,
    /// Since when it is shared; stays until no incident of it is open.
    pub shared_since: Option<Timestamp>,
}

impl Cause {
    /// An incident of `owner` opened.
    ///
    /// Of a stage that all share, two that fail are enough to know that it is the same thing.
    pub fn strike(&mut self, id: IncidentId, owner: &str, shared_stage: bool, now: Timestamp) {
        self.open.insert(id, owner.to_owned());
        self.struck
            .retain(|_, at| now.duration_since(*at) < to_signed(SHARED_WITHIN));
        self.struck.insert(owner.to_owned(), now);
        let enough = if shared_stage { 2 } else { SHARED_FROM };
        if self.struck.len() >= enough {
            self.shared_since.get_or_insert(now);
        }
    }

    /// An incident closed.
    pub fn heal(&mut self, id: IncidentId) {
        self.open.remove(&id);
    }

    /// How many owners suffer now.
    pub fn owners(&self) -> usize {
        self.open.values().collect::<BTreeSet<_>>().len()
    }

    /// Whether several owners suffer from it.
    pub fn is_shared(&self) -> bool {
        self.shared_since.is_some()
    }

    /// Whether nothing is open and nothing recent is left to count.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.open.is_empty()
            && self
                .struck
                .values()
                .all(|at| now.duration_since(*at) >= to_signed(SHARED_WITHIN))
    }
}

/// What one receiver was told and is owed of one cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Owed, in order of arrival.
    pub waiting: Vec<Owed>,
    /// When each kind of news last went out as one of a shared cause.
    pub told_at: BTreeMap<News, Timestamp>,
    /// How often each kind went out so: the gap to the next one grows with it.
    #[serde(default)]
    pub times_told: BTreeMap<News, u32>,
    /// Owners this receiver was told of while the cause lasts, at most [`MAX_ITEMS`].
    pub told_owners: Vec<String>,
}

/// What explains a piece of news to whoever was told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The incident at the root.
    pub root: IncidentId,
    /// Told then all the same.
    pub until: Timestamp,
}

/// A piece of news that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// Of which incident.
    pub incident: IncidentId,
    /// What.
    pub news: News,
    /// Since when it is owed.
    pub since: Timestamp,
    /// Set while what broke further upstream explains it to this receiver: told then, if it is still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// Set while the reason is still being read: how long that may hold the news back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for: Option<Duration>,
    /// Set while a silence or a mute window holds it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hush: Option<Hush>,
}

impl Fold {
    /// What waits and no silence holds back.
    pub fn will_tell(&self) -> impl Iterator<Item = &Owed> {
        self.waiting.iter().filter(|owed| owed.hush.is_none())
    }

    /// Owes a piece of news, once.
    pub fn owe(&mut self, incident: IncidentId, news: News, now: Timestamp) {
        if !self
            .waiting
            .iter()
            .any(|owed| owed.incident == incident && owed.news == news)
        {
            self.waiting.push(Owed {
                incident,
                news,
                since: now,
                behind: None,
                held_for: None,
                hush: None,
            });
        }
    }

    /// Holds the opening of an incident back behind its root, or no longer.
    pub fn hold_back(&mut self, incident: IncidentId, behind: Option<&Behind>) {
        let opening = |owed: &&mut Owed| owed.incident == incident && owed.news == News::Opened;
        for owed in self.waiting.iter_mut().filter(opening) {
            owed.behind = behind.cloned();
        }
    }

    /// What the root explained is told soon, if it is still broken then. Returns whether there was any.
    pub fn release(&mut self, root: IncidentId, until: Timestamp) -> bool {
        let mut any = false;
        for behind in self
            .waiting
            .iter_mut()
            .filter_map(|owed| owed.behind.as_mut())
        {
            if behind.root == root && behind.until > until {
                behind.until = until;
                any = true;
            }
        }
        any
    }

    /// Takes back what was never said of an incident that is over; returns whether there was anything. News of a
    /// shared cause that waits for its turn is not worth telling once it is old.
    pub fn drop_untold(&mut self, incident: IncidentId) -> bool {
        let told_before = self.told_at.contains_key(&News::Opened);
        let is_untold = |owed: &Owed| {
            let explained = told_before || owed.behind.is_some() || owed.hush.is_some();
            owed.incident == incident && owed.news == News::Opened && explained
        };
        let untold = self.waiting.iter().any(is_untold);
        if untold {
            self.waiting.retain(|owed| owed.incident != incident);
        }
        untold
    }

    /// Notes that the receiver knows of an owner's trouble.
    pub fn remember(&mut self, owner: &str) {
        if self.told_owners.len() < MAX_ITEMS
            && !self.told_owners.iter().any(|known| known == owner)
        {
            self.told_owners.push(owner.to_owned());
        }
    }

    /// Notes that news of a kind went out as one of a shared cause.
    pub fn told(&mut self, news: News, now: Timestamp) {
        self.told_at.insert(news, now);
        *self.times_told.entry(news).or_default() += 1;
    }

    /// When news of this kind may go out next: at once, but for a shared cause one gap after the last.
    /// The end of a cause is told without delay.
    pub fn free_at(&self, cause: &Cause, news: News) -> Option<Timestamp> {
        let last = self.told_at.get(&news)?;
        let ends = news == News::Recovered && cause.open.is_empty();
        let times = self.times_told.get(&news).copied().unwrap_or(1);
        let gap = SHARED_GAP * 2_u32.saturating_pow(times.saturating_sub(1).min(8));
        (cause.is_shared() && !ends).then(|| after(*last, gap.min(SHARED_GAP_CAP)))
    }

    /// News of one kind goes out together, so it waits for a reason that is still being read, but never longer
    /// than its oldest piece may wait; what something else holds back does not go with it. `None` when nothing is
    /// being read.
    pub fn held_until(&self, news: News) -> Option<Timestamp> {
        let goes = |owed: &&Owed| owed.news == news && owed.behind.is_none() && owed.hush.is_none();
        let kind = || self.waiting.iter().filter(goes);
        let longest = kind().filter_map(|owed| owed.held_for).max()?;
        let oldest = kind().map(|owed| owed.since).min()?;
        Some(after(oldest, longest))
    }

    /// When the next piece of waiting news may go out, hold for siblings aside; `None` when nothing waits.
    pub fn due_at(&self, cause: &Cause) -> Option<Timestamp> {
        let of_kind = |news| self.waiting.iter().filter(move |owed| owed.news == news);
        [News::Opened, News::Still, News::Recovered]
            .into_iter()
            .filter_map(|news| {
                let due = of_kind(news)
                    .map(|owed| self.due_alone(owed, cause))
                    .min()?;
                // The opening of an incident is never overtaken, and news of a kind goes out together.
                let after = |opened: &&Owed| {
                    news != News::Opened
                        && of_kind(news).any(|owed| owed.incident == opened.incident)
                };
                let openings = of_kind(News::Opened).filter(after);
                let latest = openings.map(|owed| self.due_alone(owed, cause)).max();
                Some(latest.map_or(due, |latest| due.max(latest)))
            })
            .min()
    }

    /// When a piece of news may go out, other kinds of news aside.
    fn due_alone(&self, owed: &Owed, cause: &Cause) -> Timestamp {
        let free = self.free_at(cause, owed.news);
        let held = self.held_until(owed.news);
        let behind = owed.behind.as_ref().map(|behind| behind.until);
        let hush = owed.hush.as_ref().map(|hush| hush.until);
        let later = free.into_iter().chain(held).chain(behind).chain(hush).max();
        later.map_or(owed.since, |later| owed.since.max(later))
    }

    /// What an opening tells counts all failures so far, so that it goes on failing is no news beside it.
    pub fn drop_still(&mut self, opened: &[Owed]) {
        self.waiting.retain(|owed| {
            owed.news != News::Still || opened.iter().all(|other| other.incident != owed.incident)
        });
    }
}

/// Not urgent news of one receiver, collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Why it is collected and since when.
    pub kind: DigestKind,
    /// When it goes out.
    pub due_at: Timestamp,
    /// The incidents, each once, in order of arrival.
    pub incidents: Vec<IncidentId>,
}

/// `Duration` as jiff wants it for comparison.
pub fn to_signed(duration: std::time::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}
