//! Runs that cannot succeed any more, because a stage that they need has failed: which they are, whether to say
//! so, and the command that stops them. Stopping is only ever suggested or ordered here; somebody else does it.
//!
//! A rerun may heal what broke for a passing reason, so nothing is doomed by that.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    classify::Severity,
    evidence::{CauseClass, Finding},
    incident::{Facts, Incident, IncidentId, Kind},
    observation::RunName,
    observe::Case,
    pipeline::{Pipeline, Spot},
    policy::Policy,
    release::Release,
    state::State,
    trouble::OURSELVES,
    verdict::Verdict,
};

/// What becomes of runs behind an edge when the stage before it fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AbortDownstream {
    /// Nothing.
    Off,
    /// The message names them with the command that stops them.
    #[default]
    Suggest,
    /// They are stopped, and the message says so.
    On,
}

/// What bounds the suggestions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopPolicy {
    /// Runs within an hour; more are counted and not suggested.
    pub per_hour: u32,
    /// Where the ProwJobs live, for the command; `None`: wherever kubectl looks by itself.
    pub namespace: Option<String>,
}

/// [`StopPolicy::per_hour`] unless configured.
pub const STOPS_PER_HOUR: u32 = 20;
/// See [`StopPolicy::per_hour`].
const CAPPED_OVER: SignedDuration = SignedDuration::from_hours(1);
/// Of a name of an object of Kubernetes (RFC 1123 subdomain), in bytes.
const MAX_NAME: usize = 253;

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            per_hour: STOPS_PER_HOUR,
            namespace: None,
        }
    }
}

/// What an incident means for the runs behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doom {
    /// Runs of later stages of its release that are not over, in order of their stages.
    pub pending: Vec<Pending>,
    /// Those of them whose end was suggested.
    pub doomed: Vec<Doomed>,
    /// How many more there are that the hourly limit kept back.
    pub withheld: usize,
}

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The run.
    pub run: RunName,
    /// Its stage.
    pub stage: String,
    /// Whether it is to be stopped once it is lost: every edge between says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

/// A run that cannot succeed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// The run.
    pub run: RunName,
    /// Its stage.
    pub stage: String,
    /// What stops it; `None` when its name is none that Kubernetes would give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it is stopped for whoever reads this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

/// The suggestion or the order to stop a run, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What is to be stopped, and how.
    #[serde(flatten)]
    pub doomed: Doomed,
    /// When it was suggested.
    pub at: Timestamp,
    /// Because this run failed.
    pub because: RunName,
    /// At this stage.
    pub broken: String,
    /// In this incident.
    pub incident: IncidentId,
    /// What came of the order; `None` while nothing has, and where it is only suggested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<StopEnd>,
}

/// What came of the order to stop a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopEnd {
    /// When.
    pub at: Timestamp,
    /// In one word.
    pub how: StopHow,
    /// More words, for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What became of a run that was to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopHow {
    /// It was stopped by us.
    Stopped,
    /// It was over before, or stopped by somebody else.
    Over,
    /// Its ProwJob was gone.
    Missing,
    /// What had failed works again, or runs again, so it was left alone.
    Unneeded,
    /// It could not be stopped in time.
    GivenUp,
}

impl StopHow {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Over => "over",
            Self::Missing => "missing",
            Self::Unneeded => "unneeded",
            Self::GivenUp => "given-up",
        }
    }
}

impl Stop {
    /// Whether it is ordered and nothing has come of that yet.
    pub fn is_open(&self) -> bool {
        self.doomed.ordered && self.end.is_none()
    }
}

/// What a run's description says once we have stopped it, in deck's words.
pub fn stopped_by_us(run: &RunName) -> String {
    format!("{OURSELVES} successfully aborted {run}.")
}

impl Doom {
    /// Whether nothing waits behind the incident, and nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a failure of this kind may be gone at the next try.
pub fn is_transient(class: CauseClass) -> bool {
    match class {
        CauseClass::Registry
        | CauseClass::RateLimit
        | CauseClass::Network
        | CauseClass::Disk
        | CauseClass::OutOfMemory
        | CauseClass::Timeout
        | CauseClass::Infrastructure => true,
        CauseClass::Compile
        | CauseClass::Test
        | CauseClass::Dependency
        | CauseClass::ImageBuild
        | CauseClass::Auth
        | CauseClass::Git
        | CauseClass::Configuration
        | CauseClass::Unclassified => false,
    }
}

/// Whether a text is a name that Kubernetes gives to objects, and so safe in a command.
pub fn is_object_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX_NAME
        && text.split('.').all(|part| {
            let ends = [part.bytes().next(), part.bytes().next_back()];
            ends.into_iter().all(|byte| byte.is_some_and(is_inner))
                && part.bytes().all(|byte| is_inner(byte) || byte == b'-')
        })
}

/// What stops a run, as deck does it: plank sees the state, deletes the pod and sets the completion time. A command
/// that set that time itself would leave the pod running, because plank looks at no ProwJob that is complete.
pub fn stop_command(run: &RunName, namespace: Option<&str>) -> Option<String> {
    if !is_object_name(&run.0) || !namespace.is_none_or(is_object_name) {
        return None;
    }
    let namespace = namespace.map_or_else(String::new, |name| format!(" --namespace {name}"));
    Some(format!(
        "kubectl patch prowjobs.prow.k8s.io {run}{namespace} --type merge --patch \
         '{{\"status\":{{\"state\":\"aborted\",\"description\":\"Successfully aborted {run}.\"}}}}'"
    ))
}

/// Runs of later stages that are not over while this stage is broken. None when it did its work before, or when
/// its latest run is not a bad one: a rerun may still heal it.
fn pending_behind(release: &Release, pipeline: &Pipeline, broken: &str) -> Vec<Pending> {
    let is_broken = release
        .stages
        .get(broken)
        .is_some_and(|seen| seen.verdict.is_bad() && seen.done_at.is_none());
    let later = pipeline.stages.iter().filter(|stage| {
        // What only its work can have started does not fail for want of it.
        pipeline.stopped_by(&stage.name).contains(broken)
            && !pipeline.proven_by(&stage.name).contains(broken)
    });
    later
        .filter_map(|stage| Some((stage, release.stages.get(&stage.name)?)))
        .filter(|(_, seen)| is_broken && seen.verdict == Verdict::Running)
        .map(|(stage, seen)| Pending {
            run: seen.run.clone(),
            stage: stage.name.clone(),
            ordered: pipeline.ordered_by(&stage.name).contains(broken),
        })
        .collect()
}

/// Whether a failure stays one however often its job is run again, as far as that is known.
fn is_lasting(policy: &Policy, facts: &Facts) -> bool {
    if facts.verdict == Verdict::Infra {
        return false;
    }
    match facts.finding.as_deref() {
        Some(Finding::Found(evidence)) => !is_transient(evidence.class),
        Some(Finding::Nothing(_) | Finding::Green(_)) => true,
        // It may yet turn out to be a passing one.
        Some(Finding::Unreadable(_)) => false,
        None => !policy.reads_evidence,
    }
}

impl State {
    /// Open incidents of this service at the stage of a run or before it: what it may be doomed by, or free from.
    pub(super) fn dooming(
        &self,
        spot: Spot<'_>,
        service: Option<&str>,
    ) -> Vec<(String, IncidentId)> {
        let before = spot.pipeline.stopped_by(&spot.stage.name);
        let stages = before.into_iter().chain([spot.stage.name.as_str()]);
        stages
            .flat_map(|stage| self.open_at(stage).map(move |open| (stage, open)))
            .filter(|(_, (_, owner))| Some(owner.as_str()) == service)
            .map(|(stage, (id, _))| (stage.to_owned(), id))
            .collect()
    }

    /// Notes which runs of a release wait behind what is broken in it, in whichever order all that is seen.
    pub(super) fn note_pending(&mut self, case: &Case<'_>, spot: Spot<'_>) {
        let Some(release) = case.release.as_ref().and_then(|key| self.releases.get(key)) else {
            return;
        };
        let mut noted = BTreeMap::new();
        for (stage, id) in self.dooming(spot, case.class.service.as_deref()) {
            let fits = |incident: &Incident| {
                incident.kind == Kind::Failing
                    && incident.latest.version.as_ref() == Some(&release.version)
                    && incident.is_of_org(case.run.org())
            };
            if self.incidents.get(&id).is_some_and(fits) {
                noted.insert(id, pending_behind(release, spot.pipeline, &stage));
            }
        }
        for (id, pending) in noted {
            if let Some(incident) = self.incidents.get_mut(&id)
                && incident.doom.pending != pending
            {
                incident.doom.pending = pending;
                self.changed.incidents.insert(id);
            }
        }
    }

    /// Decides, when an incident is told, which runs behind it are to be stopped, and records that.
    pub(super) fn doom(&mut self, policy: &Policy, id: IncidentId, now: Timestamp) {
        let Some(incident) = self.incidents.get(&id) else {
            return;
        };
        let before = incident.doom.clone();
        let latest = &incident.latest;
        let dooms = incident.is_open()
            && latest.class.severity == Severity::Critical
            && is_lasting(policy, latest);
        self.stops
            .retain(|_, stop| now.duration_since(stop.at) < CAPPED_OVER);
        let mut doom = Doom {
            pending: before.pending.clone(),
            ..Doom::default()
        };
        for pending in before.pending.iter().filter(|_| dooms) {
            match self.suggest(policy, id, pending, now) {
                Some(doomed) => doom.doomed.push(doomed),
                None => doom.withheld += 1,
            }
        }
        if let Some(incident) = self.incidents.get_mut(&id).filter(|_| doom != before) {
            incident.doom = doom;
            self.changed.incidents.insert(id);
        }
    }

    /// Suggests to stop a run, once. `None` when the limit of the hour is reached.
    fn suggest(
        &mut self,
        policy: &Policy,
        id: IncidentId,
        pending: &Pending,
        now: Timestamp,
    ) -> Option<Doomed> {
        let incident = self.incidents.get(&id)?;
        let mut told = incident.doom.doomed.iter();
        let known = told.find(|known| known.run == pending.run);
        let known = known.or(self.stops.get(&pending.run).map(|stop| &stop.doomed));
        if let Some(known) = known {
            return Some(known.clone());
        }
        if self.stops.len() >= usize::try_from(policy.stops.per_hour).unwrap_or(usize::MAX) {
            return None;
        }
        let doomed = Doomed {
            run: pending.run.clone(),
            stage: pending.stage.clone(),
            command: stop_command(&pending.run, policy.stops.namespace.as_deref()),
            // A name that no object has cannot be stopped.
            ordered: pending.ordered && is_object_name(&pending.run.0),
        };
        let stop = Stop {
            doomed: doomed.clone(),
            at: now,
            because: incident.latest.run.clone(),
            broken: incident.latest.class.stage.clone().unwrap_or_default(),
            incident: id,
            end: None,
        };
        self.changed.stops.insert(pending.run.clone());
        self.stops.insert(pending.run.clone(), stop);
        Some(doomed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_kubernetes_gives_get_into_a_command() {
        for name in ["b7ef8d14-5933-4873-8610-ac1be5afc393", "a", "a.b-c.0"] {
            assert!(is_object_name(name), "{name}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        for name in [
            "",
            "-a",
            "a-",
            "a..b",
            ".",
            "A",
            "a b",
            "a;reboot",
            "$(reboot)",
            "a'b",
            "a\nb",
            "--all",
            "ä",
            "a/b",
            "github:x|1",
            "`id`",
            &long,
        ] {
            assert!(!is_object_name(name), "{name}");
            assert_eq!(stop_command(&RunName(name.to_owned()), None), None);
            let run = RunName("a".to_owned());
            assert_eq!(stop_command(&run, Some(name)), None, "{name}");
        }
    }

    #[test]
    fn a_command_is_what_a_shell_reads_as_one_patch() {
        let run = RunName("b7ef8d14".to_owned());
        assert_eq!(
            stop_command(&run, Some("prow")).unwrap(),
            r#"kubectl patch prowjobs.prow.k8s.io b7ef8d14 --namespace prow --type merge --patch '{"status":{"state":"aborted","description":"Successfully aborted b7ef8d14."}}'"#
        );
        assert!(!stop_command(&run, None).unwrap().contains("namespace"));
    }
}
