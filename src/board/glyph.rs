//! States in icon, letter and word, so that none needs colour to be told from the others.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{health::Health, incident::Kind, release::StageSeen, verdict::Verdict};

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A critical stage is broken.
    Blocked,
    /// What should have started or ended did not.
    Stalled,
    /// Something that is not critical is broken.
    Failing,
    /// It fails now and then.
    Flaky,
    /// The cluster or Prow failed it.
    Infra,
    /// Green, yet it did not do its work.
    SoftFail,
    /// It runs.
    Running,
    /// A person is to start it.
    Waiting,
    /// Somebody stopped it, or something newer replaced it.
    Aborted,
    /// It is good.
    Healthy,
    /// Nothing of it was seen yet.
    Planned,
    /// Too little is known.
    Unknown,
}

/// How a state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Glyph {
    /// One character.
    pub icon: &'static str,
    /// One letter.
    pub letter: &'static str,
    /// One word or two.
    pub word: &'static str,
}

impl State {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 12] = [
        Self::Blocked,
        Self::Stalled,
        Self::Failing,
        Self::Flaky,
        Self::Infra,
        Self::SoftFail,
        Self::Running,
        Self::Waiting,
        Self::Aborted,
        Self::Healthy,
        Self::Planned,
        Self::Unknown,
    ];

    /// The word in data and class names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Stalled => "stalled",
            Self::Failing => "failing",
            Self::Flaky => "flaky",
            Self::Infra => "infra",
            Self::SoftFail => "soft-fail",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Aborted => "aborted",
            Self::Healthy => "healthy",
            Self::Planned => "planned",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// How it is shown.
    pub fn glyph(self) -> Glyph {
        let (icon, letter, word) = match self {
            Self::Blocked => ("✗", "B", "blocked"),
            Self::Stalled => ("⇥", "S", "stalled"),
            Self::Failing => ("✗", "F", "failing"),
            Self::Flaky => ("~", "K", "flaky"),
            Self::Infra => ("!", "I", "infrastructure"),
            Self::SoftFail => ("≠", "G", "green, not done"),
            Self::Running => ("◐", "R", "running"),
            Self::Waiting => ("⏸", "W", "waits for a person"),
            Self::Aborted => ("⊘", "A", "stopped"),
            Self::Healthy => ("✓", "P", "good"),
            Self::Planned => ("·", "·", "not started"),
            Self::Unknown => ("?", "?", "unknown"),
        };
        Glyph { icon, letter, word }
    }

    /// Of a run.
    pub fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Running => Self::Running,
            Verdict::Pass | Verdict::NoOp => Self::Healthy,
            Verdict::SoftFail => Self::SoftFail,
            Verdict::Fail => Self::Failing,
            Verdict::Infra => Self::Infra,
            Verdict::AbortedByHuman | Verdict::Superseded => Self::Aborted,
        }
    }

    /// Of a stage of a release, by its runs alone.
    pub fn of_stage(seen: Option<&StageSeen>) -> Self {
        seen.map_or(Self::Planned, |seen| {
            if seen.done_at.is_some() {
                Self::Healthy
            } else {
                Self::of_verdict(seen.verdict)
            }
        })
    }

    /// Of an open incident.
    pub fn of_incident(kind: Kind, critical: bool) -> Self {
        match (kind, critical) {
            (Kind::Stalled | Kind::Overdue | Kind::Silent, _) => Self::Stalled,
            (Kind::Mass, _) => Self::Infra,
            (Kind::Failing | Kind::Trouble, true) => Self::Blocked,
            (Kind::Failing | Kind::Trouble, false) => Self::Failing,
        }
    }

    /// Of a job.
    pub fn of_health(health: Health) -> Self {
        match health {
            Health::Broken | Health::Failing => Self::Failing,
            Health::Flaky => Self::Flaky,
            Health::Healthy => Self::Healthy,
            Health::Unknown => Self::Unknown,
        }
    }
}
