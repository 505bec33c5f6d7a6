//! How well what was said matches the incidents that there truly were.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize, Serializer};

use super::message::Message;
use crate::cli::UsageError;

/// Events that say that something is broken.
const ALARMS: [&str; 4] = ["opened", "still-failing", "stalled", "shared-cause"];
/// How long after its end a message may still be about an incident.
const GRACE: SignedDuration = SignedDuration::from_mins(15);
/// How many unclosed incidents are named.
const NAMED: usize = 5;

/// What truly happened.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Truth {
    incidents: Vec<TrueIncident>,
    /// Days on which nothing was broken, such as `2024-03-01`.
    #[serde(default)]
    quiet_days: BTreeSet<String>,
    #[serde(default)]
    red_runs: Option<u64>,
    #[serde(default)]
    runs: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct TrueIncident {
    /// In a word, such as `failed` or `stalled`.
    kind: String,
    stage: String,
    services: BTreeSet<String>,
    broke_at: Timestamp,
    /// `None` when it was never repaired.
    #[serde(default)]
    restored_at: Option<Timestamp>,
}

/// Marks; delays in seconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Score {
    /// How many there were.
    pub(super) incidents: usize,
    /// Of these, alarmed of while they were open.
    pub(super) detected: usize,
    /// The others, named.
    pub(super) missed: Vec<String>,
    /// From break to alarm, stalled ones apart.
    pub(super) mttd_s: Delays,
    /// The same of stalled ones, whose deadline is part of it.
    pub(super) mttd_stalled_s: Delays,
    /// Pairs of incident and service whose own receiver was not alarmed while it was open.
    pub(super) own_receiver_missing: usize,
    /// Detected and repaired incidents whose repair was not told within 15 minutes.
    pub(super) recovery_missing: usize,
    /// Some of them.
    pub(super) unclosed: Vec<String>,
    /// Messages about the stages of the truth.
    pub(super) messages: usize,
    /// Who got them.
    pub(super) receivers: usize,
    /// Messages for each pair of incident and receiver that was told of it.
    #[serde(serialize_with = "hundredths")]
    pub(super) messages_per_owed: f64,
    /// Most messages to one receiver within a clock hour.
    pub(super) busiest_hour: usize,
    /// Alarms on quiet days, and those of which most services were well.
    pub(super) false_alarms: usize,
    /// Bad runs, as the truth says.
    pub(super) red_runs: Option<u64>,
    /// All runs, as the truth says.
    pub(super) runs: Option<u64>,
}

/// Delays, `None` where there are none.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Delays {
    /// Half are no longer.
    pub(super) median: Option<f64>,
    /// 95 of 100 are no longer.
    pub(super) p95: Option<f64>,
    /// None is longer.
    pub(super) max: Option<f64>,
}

/// What of a message matters here.
#[derive(Debug)]
struct Sent {
    at: Timestamp,
    alarm: bool,
    recovered: bool,
    stage: String,
    services: BTreeSet<String>,
    receiver: String,
    /// Whether at least half of its services were broken in its stage then.
    counts: bool,
}

/// Collects messages and marks them at the end.
#[derive(Debug)]
pub(super) struct Marker {
    truth: Truth,
    stages: BTreeSet<String>,
    sent: Vec<Sent>,
}

impl Truth {
    /// Reads the truth from a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let text =
            fs::read(path).map_err(|error| UsageError(format!("cannot read {name}: {error}")))?;
        let truth = serde_json::from_slice(&text).map_err(|error| {
            UsageError(format!(
                "{name} does not say what truly happened, which is {{\"incidents\": [..]}}: {error}"
            ))
        })?;
        Ok(truth)
    }
}

impl TrueIncident {
    fn from(&self) -> Timestamp {
        shifted(self.broke_at, SignedDuration::from_secs(-1))
    }

    fn to(&self) -> Timestamp {
        self.restored_at.unwrap_or(Timestamp::MAX)
    }

    /// Whether a message of that moment may be about it.
    fn covers(&self, at: Timestamp) -> bool {
        self.from() <= at && at <= shifted(self.to(), GRACE)
    }

    fn name(&self, at: Option<Timestamp>) -> String {
        let services: Vec<&str> = self.services.iter().take(4).map(String::as_str).collect();
        let at = at.map_or_else(|| "never".to_owned(), |at| at.to_string());
        format!("{} {} {} {at}", self.kind, self.stage, services.join(","))
    }
}

impl Marker {
    /// Measures against this truth.
    pub(super) fn new(truth: Truth) -> Self {
        let stages = truth
            .incidents
            .iter()
            .map(|incident| incident.stage.clone())
            .collect();
        Self {
            truth,
            stages,
            sent: Vec::new(),
        }
    }

    /// Takes in a message.
    pub(super) fn message(&mut self, message: &Message) {
        let Some(stage) = message
            .stage
            .as_ref()
            .filter(|stage| self.stages.contains(*stage))
        else {
            return;
        };
        let services: BTreeSet<String> = message.services.iter().cloned().collect();
        self.sent.push(Sent {
            at: message.at,
            alarm: ALARMS.contains(&message.event),
            recovered: message.event == "recovered",
            counts: self.counts(stage, &services, message.at),
            stage: stage.clone(),
            services,
            receiver: message.receiver.clone(),
        });
    }

    fn counts(&self, stage: &str, services: &BTreeSet<String>, at: Timestamp) -> bool {
        let broken: BTreeSet<&String> = self
            .truth
            .incidents
            .iter()
            .filter(|incident| incident.stage == stage && incident.covers(at))
            .flat_map(|incident| &incident.services)
            .collect();
        let hit = services
            .iter()
            .filter(|service| broken.contains(service))
            .count();
        !services.is_empty() && 2 * hit >= services.len()
    }

    /// The marks.
    pub(super) fn score(mut self) -> Score {
        self.sent.sort_by_key(|sent| sent.at);
        let mut score = self.overall();
        let (mut delays, mut stalled, mut owed) = (Vec::new(), Vec::new(), 0);
        for incident in &self.truth.incidents {
            let about = self.about(incident);
            owed += about
                .iter()
                .map(|sent| &sent.receiver)
                .collect::<BTreeSet<_>>()
                .len();
            let alarms: Vec<&Sent> = about
                .iter()
                .copied()
                .filter(|sent| sent.alarm && sent.counts && sent.at <= incident.to())
                .collect();
            score.own_receiver_missing += unowned(incident, &alarms);
            let Some(first) = alarms.first() else {
                score.missed.push(incident.name(Some(incident.broke_at)));
                continue;
            };
            let delay = first
                .at
                .duration_since(incident.broke_at)
                .as_secs_f64()
                .max(0.0);
            if incident.kind == "stalled" {
                stalled.push(delay);
            } else {
                delays.push(delay);
            }
            if incident.restored_at.is_some() && !is_closed(incident, &about) {
                score.recovery_missing += 1;
                score.unclosed.push(incident.name(incident.restored_at));
            }
        }
        score.unclosed.truncate(NAMED);
        score.detected = delays.len() + stalled.len();
        score.mttd_s = Delays::of(delays);
        score.mttd_stalled_s = Delays::of(stalled);
        score.messages_per_owed = ratio(score.messages, owed.max(1));
        score
    }

    /// What does not depend on single incidents.
    fn overall(&self) -> Score {
        let mut hours: BTreeMap<(&str, i64), usize> = BTreeMap::new();
        for sent in &self.sent {
            let hour = sent.at.as_second().div_euclid(3600);
            *hours.entry((&sent.receiver, hour)).or_default() += 1;
        }
        let quiet = |sent: &Sent| {
            let day = sent.at.to_zoned(TimeZone::UTC).date().to_string();
            self.truth.quiet_days.contains(&day)
        };
        let receivers: BTreeSet<&str> = self
            .sent
            .iter()
            .map(|sent| sent.receiver.as_str())
            .collect();
        Score {
            incidents: self.truth.incidents.len(),
            detected: 0,
            missed: Vec::new(),
            mttd_s: Delays::default(),
            mttd_stalled_s: Delays::default(),
            own_receiver_missing: 0,
            recovery_missing: 0,
            unclosed: Vec::new(),
            messages: self.sent.len(),
            receivers: receivers.len(),
            messages_per_owed: 0.0,
            busiest_hour: hours.into_values().max().unwrap_or_default(),
            false_alarms: self
                .sent
                .iter()
                .filter(|sent| sent.alarm && (!sent.counts || quiet(sent)))
                .count(),
            red_runs: self.truth.red_runs,
            runs: self.truth.runs,
        }
    }

    /// Messages that name one of its services in its stage while it was open, or shortly after.
    fn about(&self, incident: &TrueIncident) -> Vec<&Sent> {
        self.sent
            .iter()
            .filter(|sent| {
                sent.stage == incident.stage
                    && incident.covers(sent.at)
                    && !sent.services.is_disjoint(&incident.services)
            })
            .collect()
    }
}

/// Services of an incident whose own receiver got none of these alarms.
fn unowned(incident: &TrueIncident, alarms: &[&Sent]) -> usize {
    let told: BTreeSet<&str> = alarms
        .iter()
        .filter_map(|sent| sent.receiver.rsplit_once('/'))
        .map(|(_, service)| service)
        .collect();
    let services = incident.services.iter();
    services
        .filter(|service| !told.contains(service.as_str()))
        .count()
}

fn is_closed(incident: &TrueIncident, about: &[&Sent]) -> bool {
    let from = shifted(incident.to(), -GRACE);
    about.iter().any(|sent| sent.recovered && sent.at >= from)
}

fn shifted(at: Timestamp, by: SignedDuration) -> Timestamp {
    let bound = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    at.checked_add(by).unwrap_or(bound)
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages are small")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn hundredths<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 100.0).round() / 100.0)
}

impl Delays {
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |index: usize| seconds.get(index).copied();
        let last = seconds.len().saturating_sub(1);
        let median = at(last / 2)
            .zip(at(seconds.len() / 2))
            .map(|(low, high)| f64::midpoint(low, high));
        Self {
            median,
            p95: at(last * 95 / 100),
            max: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::classify::Severity;

    fn truth() -> Truth {
        let truth = json!({
            "incidents": [
                {"kind": "failed", "stage": "publish", "services": ["s3", "sqs"],
                 "broke_at": "2024-03-01T10:00:00Z", "restored_at": "2024-03-01T12:00:00Z"},
                {"kind": "stalled", "stage": "publish", "services": ["ec2"],
                 "broke_at": "2024-03-02T10:00:00Z", "restored_at": null},
            ],
            "quiet_days": ["2024-03-03"],
        });
        serde_json::from_value(truth).unwrap()
    }

    fn message(at: &str, event: &'static str, services: &[&str], receiver: &str) -> Message {
        Message {
            at: at.parse().unwrap(),
            event,
            incident: String::new(),
            severity: Severity::Critical,
            stage: Some("publish".to_owned()),
            services: services.iter().map(|&name| name.to_owned()).collect(),
            receiver: receiver.to_owned(),
            runs: Vec::new(),
            text: String::new(),
            owners: Vec::new(),
        }
    }

    fn score(messages: &[Message]) -> Score {
        let mut marker = Marker::new(truth());
        for message in messages {
            marker.message(message);
        }
        marker.score()
    }

    #[test]
    fn an_incident_is_found_by_the_first_alarm_that_counts() {
        let marks = score(&[
            // Two of three services were well.
            message(
                "2024-03-01T10:00:30Z",
                "shared-cause",
                &["s3", "a", "b"],
                "platform",
            ),
            message(
                "2024-03-01T10:01:00Z",
                "shared-cause",
                &["s3", "a"],
                "platform",
            ),
            message("2024-03-01T10:02:00Z", "opened", &["s3"], "by-service/s3"),
            message("2024-03-01T12:10:00Z", "recovered", &["s3"], "platform"),
        ]);
        assert_eq!((marks.detected, marks.missed.len()), (1, 1));
        assert_eq!(marks.mttd_s.median, Some(60.0));
        assert_eq!((marks.own_receiver_missing, marks.recovery_missing), (2, 0));
        assert_eq!((marks.false_alarms, marks.messages), (1, 4));
        // Four messages to the two receivers that heard of it, all but one to one of them.
        assert!((marks.messages_per_owed - 2.0).abs() < 1e-9);
        assert_eq!(marks.busiest_hour, 2);
    }

    #[test]
    fn what_comes_after_the_end_finds_nothing_and_closes_only_for_a_while() {
        let marks = score(&[
            message("2024-03-01T11:00:00Z", "opened", &["s3"], "by-service/s3"),
            message("2024-03-01T12:05:00Z", "opened", &["sqs"], "by-service/sqs"),
            message(
                "2024-03-01T12:16:00Z",
                "recovered",
                &["s3"],
                "by-service/s3",
            ),
        ]);
        assert_eq!((marks.own_receiver_missing, marks.recovery_missing), (2, 1));
        assert_eq!(
            marks.unclosed,
            ["failed publish s3,sqs 2024-03-01T12:00:00Z"]
        );
    }

    #[test]
    fn stalled_incidents_have_delays_of_their_own_and_need_no_end() {
        let marks = score(&[message(
            "2024-03-02T10:30:00Z",
            "stalled",
            &["ec2"],
            "by-service/ec2",
        )]);
        assert_eq!(marks.mttd_stalled_s.p95, Some(1800.0));
        assert_eq!(marks.mttd_s.median, None);
        assert_eq!(marks.recovery_missing, 0);
    }

    #[test]
    fn alarms_on_quiet_days_are_false_and_other_stages_are_left_out() {
        let mut elsewhere = message("2024-03-01T10:00:30Z", "opened", &["s3"], "platform");
        elsewhere.stage = Some("docs".to_owned());
        // An incident that never ends still stands on that day.
        let marks = score(&[
            elsewhere,
            message(
                "2024-03-03T08:00:00Z",
                "still-failing",
                &["ec2"],
                "platform",
            ),
        ]);
        assert_eq!((marks.messages, marks.false_alarms), (1, 1));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_delays() {
        let delays = Delays::of((0..40).rev().map(f64::from).collect());
        assert_eq!(
            (delays.median, delays.p95, delays.max),
            (Some(19.5), Some(37.0), Some(39.0))
        );
    }
}
