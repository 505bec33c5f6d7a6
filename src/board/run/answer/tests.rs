//! Sentences for every way a run can go.

use super::*;
use crate::{
    domain::{
        classify::{Classification, Severity},
        incident::{Facts, Incident},
        job::JobKey,
        notification::{Diverted, Notification},
        observation::{RunName, Source},
        samples,
        verdict::{Judgement, Verdict},
    },
    store::Attempt,
};

fn at(minute: u32) -> Timestamp {
    format!("2026-05-19T20:{minute:02}:00Z").parse().unwrap()
}

fn decided(minute: u32, decision: Decision, reason: &str) -> DecisionRow {
    DecisionRow {
        run: RunName("r1".to_owned()),
        source: Source::Deck,
        seen_at: at(minute),
        decided_at: at(minute),
        job_key: JobKey("postsubmit|||job|".to_owned()),
        verdict: Verdict::Fail,
        decision,
        rule: None,
        reason: reason.to_owned(),
        class: Classification::default(),
        receivers: vec!["platform".to_owned()],
        incident: None,
    }
}

fn delivery(state: &str, attempts: &[(&str, &str)]) -> DeliveryTrail {
    DeliveryTrail {
        id: 1,
        receiver: "platform".to_owned(),
        state: state.to_owned(),
        due_at: at(40),
        diverted: None,
        attempts: attempts
            .iter()
            .map(|(outcome, detail)| Attempt {
                at: at(31),
                outcome: (*outcome).to_owned(),
                detail: (*detail).to_owned(),
            })
            .collect(),
    }
}

fn message(run: &str, delivery: DeliveryTrail) -> NotificationTrail {
    let judged = Judgement {
        verdict: Verdict::Fail,
        what: "the job failed".to_owned(),
    };
    let seen = samples::run(run, "job");
    let facts = Facts::new(&seen, at(30), judged, Classification::default());
    let incident = Incident::new(JobKey::of(&seen), facts);
    NotificationTrail {
        notification: Notification {
            id: "0123abcd".to_owned(),
            event: Event::Opened,
            receiver: "platform".to_owned(),
            severity: Severity::Critical,
            at: at(30),
            items: vec![incident.item()],
            total: 1,
            shared_by: 0,
            earlier: Vec::new(),
            digest: None,
            diverted: None,
        },
        deliveries: vec![delivery],
    }
}

fn answered(decisions: Vec<DecisionRow>, notifications: Vec<NotificationTrail>) -> (String, bool) {
    let trail = Trail {
        run: None,
        decisions,
        incidents: Vec::new(),
        evidence: None,
        waits: Vec::new(),
        stops: Vec::new(),
        notifications,
    };
    let Answer { sentence, told } = answer(&trail, at(35));
    (sentence, told)
}

#[test]
fn whoever_was_told_is_named_with_the_time_and_the_reason() {
    let sent = message("r1", delivery("sent", &[("sent", "200 ok")]));
    let decisions = vec![
        decided(20, Decision::NotFailed, "not finished"),
        decided(30, Decision::Notify, "first failure of the job"),
        decided(32, Decision::Deduplicated, "known"),
    ];
    insta::assert_snapshot!(
        answered(decisions, vec![sent]).0,
        @"platform was told at 20:31:00 UTC on 19 May (opened): first failure of the job."
    );
}

#[test]
fn those_who_were_told_at_once_are_named_together() {
    let mut sent = message("r1", delivery("sent", &[("sent", "200 ok")]));
    let mut other = delivery("sent", &[("sent", "200 ok")]);
    other.receiver = "by-service/s3".to_owned();
    sent.deliveries.push(other);
    let notify = vec![decided(30, Decision::Notify, "first failure")];
    insta::assert_snapshot!(
        answered(notify, vec![sent]).0,
        @"platform, by-service/s3 were told at 20:31:00 UTC on 19 May (opened): first failure."
    );
}

#[test]
fn a_message_that_went_elsewhere_says_why() {
    let mut other = delivery("sent", &[("sent", "200 ok")]);
    other.diverted = Some(Diverted {
        from: "lambda-team".to_owned(),
        reason: "channel is archived".to_owned(),
    });
    let notify = vec![decided(30, Decision::Notify, "first failure")];
    insta::assert_snapshot!(
        answered(notify, vec![message("r1", other)]).0,
        @"platform was told at 20:31:00 UTC on 19 May instead of lambda-team (channel is archived) (opened): first failure."
    );
}

#[test]
fn whoever_was_not_told_learns_why() {
    for (decision, says) in [
        (
            Decision::Silenced,
            "Nobody was told, a silence held it back: because.",
        ),
        (Decision::Deduplicated, "Nobody was told again: because."),
        (Decision::Ignored, "Nobody was told: because."),
        (
            Decision::Digest,
            "It is collected for the digest of platform: because.",
        ),
        (
            Decision::Notify,
            "A message is about to be written for platform: because.",
        ),
    ] {
        let (sentence, told) = answered(vec![decided(30, decision, "because")], Vec::new());
        assert_eq!((sentence.as_str(), told), (says, false), "{decision}");
    }
    assert!(
        answered(Vec::new(), Vec::new())
            .0
            .starts_with("Nobody was told")
    );
}

#[test]
fn a_message_under_way_or_given_up_says_what_slack_answered() {
    let notify = || vec![decided(30, Decision::Notify, "first failure")];
    let waits = message("r1", delivery("pending", &[("retry", "429 rate limited")]));
    let dead = message("r1", delivery("dead", &[("dead", "404 no_service")]));
    insta::assert_snapshot!(
        answered(notify(), vec![waits]).0,
        @"platform is being told: the message goes out in 5 min, the last attempt got: retry 429 rate limited."
    );
    insta::assert_snapshot!(
        answered(notify(), vec![dead]).0,
        @"platform was not told: its message was given up, the last attempt got: dead 404 no_service."
    );
}
