//! Stages that did not start, and troubles of our own: no run and no job is at fault.

use super::*;
use crate::domain::trouble::OURSELVES;

fn stalled(service: &str) -> Item {
    Item {
        verdict: Verdict::Running,
        what: "publish did not start within 30 min after release-tag did its work".to_owned(),
        last_good: None,
        links: vec![link(
            "After",
            "https://prow.ack.aws.dev/view/gs/b/logs/tag/1",
        )],
        ..item(service, "v1.3.0")
    }
}

fn ours() -> Item {
    Item {
        class: Classification {
            component: OURSELVES.to_owned(),
            stage: Some("reading logs".to_owned()),
            severity: Severity::NonCritical,
            ..Classification::default()
        },
        job: "logs s3://logs".to_owned(),
        repository: String::new(),
        base_ref: String::new(),
        is_tag: false,
        what: "s3://logs: 403 Forbidden".to_owned(),
        last_good: None,
        ask: None,
        links: Vec::new(),
        ..item("x", "")
    }
}

#[test]
fn a_stage_that_did_not_start_is_said_to_be_missing_not_to_have_failed() {
    insta::assert_snapshot!(seen(&notification(Event::Stalled, vec![stalled("ec2")])), @r"
    ┌ 🔴 ec2 v1.3.0: publish did not start
    │ @subteam^S0123
    │ What is missing: publish did not start within 30 min after release-tag did its work
    │ Controller: ec2-controller    Stage: publish
    │ Version: v1.3.0               Severity: critical
    │ Due by: 2026-05-19 20:35 UTC  Who may know more: jo<e>
    │ After: https://prow.ack.aws.dev/view/gs/b/logs/tag/1
    │ Why this message?: https://notifier.example.org/runs/1a2b3c4d
    └ aws-controllers-k8s/ec2-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
}

#[test]
fn a_late_start_says_how_late() {
    let late = recovered(stalled("ec2"), "v1.3.0");
    insta::assert_snapshot!(seen(&notification(Event::Recovered, vec![late])), @r"
    ┌ ✅ ec2 v1.3.0: publish started after all, 2h 15m late
    │ It started at 2026-05-19 22:50 UTC, 2h 15m after it was due.
    │ What had been missing: publish did not start within 30 min after release-tag did its work
    │ Controller: ec2-controller    Stage: publish
    │ Version: v1.3.0               Severity: critical
    │ Due by: 2026-05-19 20:35 UTC  Who may know more: jo<e>
    │ After: https://prow.ack.aws.dev/view/gs/b/logs/tag/1
    │ Why this message?: https://notifier.example.org/runs/1a2b3c4d
    └ aws-controllers-k8s/ec2-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
}

#[test]
fn several_that_did_not_start_are_listed_with_when_they_were_due() {
    let several = ["ec2", "s3"].map(stalled).to_vec();
    insta::assert_snapshot!(seen(&notification(Event::Stalled, several)), @r"
    ┌ 🔴 publish did not start in 2 services
    │ @subteam^S0123
    │ Due since: 2026-05-19 20:35 UTC, critical
    │ What is missing: publish did not start within 30 min after release-tag did its work
    │ • ec2 v1.3.0 due since 2026-05-19 20:35 UTC After: https://prow.ack.aws.dev/view/gs/b/logs/tag/1
    │ • s3 v1.3.0 due since 2026-05-19 20:35 UTC After: https://prow.ack.aws.dev/view/gs/b/logs/tag/1
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
}

#[test]
fn more_that_did_not_start_are_not_said_to_fail() {
    let mut more = notification(Event::SharedCause, ["ec2", "s3"].map(stalled).to_vec());
    (more.shared_by, more.earlier) = (3, vec!["sqs".to_owned()]);
    let headline = "┌ 🔴 publish did not start in 3 services, 2 new";
    assert_eq!(seen(&more).lines().next(), Some(headline));
}

#[test]
fn trouble_of_our_own_names_us_and_no_job() {
    insta::assert_snapshot!(seen(&notification(Event::Opened, vec![ours()])), @r"
    ┌ 🟡 prow-notifier: reading logs fails
    │ What is wrong: s3://logs: 403 Forbidden
    │ Failing since: 2026-05-19 20:35 UTC
    │ Why this message?: https://notifier.example.org/runs/1a2b3c4d
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
    let over = seen(&notification(Event::Recovered, vec![recovered(ours(), "")]));
    assert!(
        over.starts_with("┌ ✅ prow-notifier: reading logs works again"),
        "{over}"
    );
}
