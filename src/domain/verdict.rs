//! Our reading of a run. Prow's `state` alone is not a verdict: a pod that ran out of time ends as
//! `aborted`, one that ran out of memory as `error`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    observation::Observation,
    pipeline::{Said, Sign},
    prowjob::State,
    trouble::OURSELVES,
};

/// What a run means for the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not over yet.
    Running,
    /// Did its work.
    Pass,
    /// Green, had nothing to do: neither opens nor closes an incident.
    NoOp,
    /// Green, yet it did not do its work.
    SoftFail,
    /// Red for a reason of its own.
    Fail,
    /// Red because the cluster or Prow failed it.
    Infra,
    /// Somebody stopped it.
    AbortedByHuman,
    /// Stopped because it had become pointless: a newer run replaced it, or what it needs had failed.
    Superseded,
}

impl Verdict {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pass => "pass",
            Self::NoOp => "no-op",
            Self::SoftFail => "soft-fail",
            Self::Fail => "fail",
            Self::Infra => "infra",
            Self::AbortedByHuman => "aborted-by-human",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it opens or prolongs an incident.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::SoftFail | Self::Fail | Self::Infra)
    }

    /// Whether it counts for incidents at all: bad opens them, good closes them.
    pub fn counts(self) -> bool {
        self.is_bad() || self == Self::Pass
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict and what broke, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What broke; Prow's own description when nothing better is known.
    pub what: String,
}

impl Judgement {
    /// What becomes of a green run once its log has spoken.
    #[must_use]
    pub fn reread(self, said: &Said) -> Self {
        if self.verdict != Verdict::Pass {
            return self;
        }
        match said.sign {
            Some(Sign::SoftFail) => Self {
                verdict: Verdict::SoftFail,
                what: format!("green, but it did not do its work: {}", said.line),
            },
            Some(Sign::NoOp) => Self {
                verdict: Verdict::NoOp,
                what: format!("green with nothing to do: {}", said.line),
            },
            Some(Sign::Done) | None => self,
        }
    }
}

/// Reads a run's verdict from state and description. The texts are those of Prow's plank, matched by
/// key words and without case, because they are free text and differ between versions.
pub fn judge(run: &Observation) -> Judgement {
    let verdict = |verdict, what: &str| Judgement {
        verdict,
        what: what.to_owned(),
    };
    if !run.is_finished() {
        return verdict(Verdict::Running, "not finished");
    }
    let text = run.description.to_lowercase();
    match run.state {
        State::Success => verdict(Verdict::Pass, "passed"),
        State::Failure if is_human_abort(&text) && run.inferred => {
            verdict(Verdict::AbortedByHuman, &stopped(run))
        }
        State::Failure if text.contains("running timeout") && run.inferred => {
            verdict(Verdict::Fail, TIMEOUT)
        }
        State::Failure if run.provisional && !run.description.is_empty() => {
            verdict(Verdict::Fail, &run.description)
        }
        State::Failure => Judgement {
            verdict: Verdict::Fail,
            what: failure_words(run, &text),
        },
        State::Error => error_verdict(run, &text),
        State::Aborted if text.contains("running timeout") => verdict(Verdict::Fail, TIMEOUT),
        State::Aborted if is_human_abort(&text) && text.starts_with(OURSELVES) => {
            verdict(Verdict::Superseded, DOOMED)
        }
        State::Aborted if is_human_abort(&text) => verdict(Verdict::AbortedByHuman, &stopped(run)),
        State::Aborted => verdict(
            Verdict::Superseded,
            "stopped without a word, as Prow does when a newer run replaces it",
        ),
        State::Scheduling | State::Triggered | State::Pending | State::Other(_) => {
            verdict(Verdict::Running, "not finished")
        }
    }
}

const DOOMED: &str = "stopped by prow-notifier, because it could not succeed any more";
const TIMEOUT: &str = "ran longer than Prow allows (running timeout)";

/// `Successfully aborted NAME.` and `USER successfully aborted NAME.` come from deck.
fn is_human_abort(text: &str) -> bool {
    text.contains("successfully aborted")
}

/// Who stopped it, where deck says.
fn stopped(run: &Observation) -> String {
    let by = run.description.split_once(" successfully aborted ");
    let by = by.map(|(by, _)| by.trim());
    let by = by.filter(|by| !by.is_empty() && !by.contains(char::is_whitespace));
    format!("stopped by {}", by.unwrap_or("a person"))
}

/// Descriptions of state `error`, as plank writes them, our words for them, and whether the description
/// itself says more than these.
const ERRORS: &[(&str, Verdict, &str, bool)] = &[
    (
        "oom killed",
        Verdict::Infra,
        "out of memory: the cluster killed the pod",
        false,
    ),
    (
        "evicted by the cluster",
        Verdict::Infra,
        "the cluster evicted the pod",
        false,
    ),
    (
        "max revivals",
        Verdict::Infra,
        "the pod was stopped again and again",
        true,
    ),
    (
        "deleted unexpectedly",
        Verdict::Infra,
        "somebody or something deleted the pod",
        false,
    ),
    (
        "scheduling timeout",
        Verdict::Infra,
        "no node took the pod in time (scheduling timeout)",
        false,
    ),
    (
        "pending timeout",
        Verdict::Infra,
        "the pod did not start in time (pending timeout: image, volume or init container)",
        false,
    ),
    (
        "some containers didn't finish",
        Verdict::Infra,
        "the cluster reported the pod done while containers still ran",
        false,
    ),
    (
        "can not be created",
        Verdict::Fail,
        "the cluster refused the pod",
        true,
    ),
    (
        "terminal error",
        Verdict::Fail,
        "Prow cannot run the job as configured",
        true,
    ),
    (
        "build client not found",
        Verdict::Fail,
        "Prow cannot run the job as configured",
        true,
    ),
];

fn error_verdict(run: &Observation, text: &str) -> Judgement {
    let known = ERRORS.iter().find(|(words, ..)| text.contains(words));
    let &(_, verdict, what, says_more) =
        known.unwrap_or(&("", Verdict::Infra, "Prow could not run the job", true));
    let what = if says_more {
        with_description(what, &run.description)
    } else {
        what.to_owned()
    };
    Judgement { verdict, what }
}

fn failure_words(run: &Observation, text: &str) -> String {
    match text {
        "job failed." | "jenkins job failed." | "failed" | "" => "the job failed".to_owned(),
        _ => with_description("the job failed", &run.description),
    }
}

fn with_description(what: &str, description: &str) -> String {
    if description.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {description}")
    }
}
