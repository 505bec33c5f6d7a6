//! What each event looks like, and that no input breaks a limit.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    domain::{
        classify::Classification,
        notification::{Diverted, LastGood, Link, Recovery},
        observation::RunName,
        verdict::Verdict,
    },
    slack::{builder_url, limits::violations, preview_text},
};

mod hostile;
mod reasons;
mod stalled;

const MENTION_ONCALL: &str = "<!subteam^S0123>";

fn at(time: &str) -> Timestamp {
    format!("2026-05-19T{time}Z").parse().unwrap()
}

fn link(label: &str, url: &str) -> Link {
    Link {
        label: label.to_owned(),
        url: url.to_owned(),
    }
}

fn item(service: &str, version: &str) -> Item {
    let deck = "https://prow.ack.aws.dev";
    Item {
        kind: crate::domain::incident::Kind::Failing,
        flaky: None,
        class: Classification {
            rule: Some("publish".to_owned()),
            service: Some(service.to_owned()),
            controller: Some(format!("{service}-controller")),
            component: format!("{service}-controller"),
            stage: Some("publish".to_owned()),
            severity: Severity::Critical,
            every: None,
            after: None,
            runbook: None,
        },
        job: format!("{service}-post-submit"),
        repository: format!("aws-controllers-k8s/{service}-controller"),
        base_ref: version.to_owned(),
        is_tag: true,
        run: RunName(format!("{service}-run-1")),
        verdict: Verdict::Infra,
        what: "the pod did not start in time (pending timeout)".to_owned(),
        since: at("20:35:11"),
        latest: at("20:35:11"),
        failures: 1,
        new_failures: 1,
        last_good: Some(LastGood {
            at: at("08:00:00"),
            base_ref: "v1.4.3".to_owned(),
        }),
        recovered: None,
        root: None,
        blocks: Vec::new(),
        doom: crate::domain::doom::Doom::default(),
        ask: Some("jo<e>".to_owned()),
        links: vec![
            link("Run", &format!("{deck}/view/gs/b/logs/{service}/1")),
            link("Compare", "https://github.com/o/r/compare/v1.4.3...v1.4.4"),
        ],
        evidence: None,
        evidence_note: None,
        log_link: None,
    }
}

fn notification(event: Event, items: Vec<Item>) -> Notification {
    Notification {
        id: "1a2b3c4d".to_owned(),
        event,
        receiver: "platform".to_owned(),
        severity: items
            .iter()
            .map(|item| item.class.severity)
            .max()
            .unwrap_or_default(),
        at: at("20:35:16"),
        total: items.len(),
        items,
        shared_by: 0,
        earlier: Vec::new(),
        digest: None,
        diverted: None,
    }
}

fn look() -> Look {
    Look {
        mention: Some(MENTION_ONCALL.to_owned()),
        external_url: Some("https://notifier.example.org/".to_owned()),
    }
}

/// The message as a terminal shows it, once it has been held against all limits in all its forms.
fn seen(notification: &Notification) -> String {
    for payload in [
        render(notification, &look()),
        render_plain(notification, &look()),
    ] {
        assert_eq!(
            violations(&payload, &[MENTION_ONCALL]),
            Vec::<String>::new()
        );
    }
    preview_text(&render(notification, &look()))
}

fn text(notification: &Notification) -> String {
    let payload = render(notification, &look());
    payload["text"].as_str().unwrap().to_owned()
}

fn recovered(mut item: Item, version: &str) -> Item {
    item.recovered = Some(Recovery {
        at: at("22:50:00"),
        run: RunName("good".to_owned()),
        base_ref: version.to_owned(),
        after: SignedDuration::from_mins(135),
        by: None,
        skipped: None,
    });
    item
}

#[test]
fn a_critical_opening_rings_and_says_all() {
    let opened = notification(Event::Opened, vec![item("lambda", "v1.4.4")]);
    insta::assert_snapshot!(seen(&opened), @r#"
    ┌ 🔴 lambda v1.4.4: publish failed (infrastructure)
    │ @subteam^S0123
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ Controller: lambda-controller  Stage: publish
    │ Version: v1.4.4                Job: lambda-post-submit
    │ Severity: critical             Failing since: 2026-05-19 20:35 UTC
    │ How often: 1 failed run        Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/lambda-run-1
    └ aws-controllers-k8s/lambda-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
    insta::assert_snapshot!(text(&opened), @"🔴 lambda v1.4.4: publish failed (infrastructure): the pod did not start in time (pending timeout). First failure at 2026-05-19 20:35 UTC.");
}

#[test]
fn a_non_critical_unclassified_opening_says_so_and_rings_nobody() {
    let mut item = item("x", "main");
    item.is_tag = false;
    item.last_good = None;
    item.ask = None;
    item.verdict = Verdict::Fail;
    item.what = "the job failed: exit 1\nstep <2>\n\tError: no `token`".to_owned();
    item.class = Classification {
        component: "x-repo".to_owned(),
        ..Classification::default()
    };
    let mut opened = notification(Event::Opened, vec![item]);
    opened.diverted = Some(Diverted {
        from: "by-service/x".to_owned(),
        reason: "channel_is_archived".to_owned(),
    });
    insta::assert_snapshot!(seen(&opened), @r#"
    ┌ 🟡 x-repo (main): x-post-submit failed
    │ ⚠️ Meant for by-service/x, which refused it: channel_is_archived
    │ What broke: the job failed: exit 1
    │ step <2>
    │  Error: no 'token'
    │ Unclassified: no rule knows this job
    │ Component: x-repo                    Branch: main
    │ Job: x-post-submit                   Severity: non-critical
    │ Failing since: 2026-05-19 20:35 UTC  How often: 1 failed run
    │ Last good run: none on record
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/x/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/x-run-1
    └ aws-controllers-k8s/x-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn still_failing_counts_what_is_new() {
    let mut item = item("lambda", "v1.4.4");
    (item.failures, item.new_failures) = (5, 3);
    let still = notification(Event::StillFailing, vec![item]);
    insta::assert_snapshot!(seen(&still), @r#"
    ┌ 🔁 lambda v1.4.4: publish still failing
    │ @subteam^S0123
    │ 3 more failed runs since the last message, 5 in all.
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ Controller: lambda-controller  Stage: publish
    │ Version: v1.4.4                Job: lambda-post-submit
    │ Severity: critical             Failing since: 2026-05-19 20:35 UTC
    │ How often: 5 failed runs       Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/lambda-run-1
    └ aws-controllers-k8s/lambda-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn still_failing_of_several_is_one_list() {
    let mut items = vec![item("lambda", "v1.4.4"), item("s3", "v2.0.0")];
    for item in &mut items {
        (item.failures, item.new_failures) = (5, 3);
    }
    let still = notification(Event::StillFailing, items);
    insta::assert_snapshot!(seen(&still), @r#"
    ┌ 🔁 publish still failing in 2 services
    │ @subteam^S0123
    │ Failing since: 2026-05-19 20:35 UTC, critical
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ • lambda v1.4.4 5 failed runs (3 new) Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ • s3 v2.0.0 5 failed runs (3 new) Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn a_shared_cause_is_one_line_per_service() {
    let items = ["dynamodb", "lambda", "s3"].map(|name| item(name, "v1.4.4"));
    let mut shared = notification(Event::SharedCause, items.to_vec());
    shared.shared_by = 5;
    shared.earlier = vec!["sns".to_owned(), "sqs".to_owned()];
    insta::assert_snapshot!(seen(&shared), @r#"
    ┌ 🔴 publish fails in 5 services, 3 new
    │ @subteam^S0123
    │ Failing since: 2026-05-19 20:35 UTC, critical
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ Told before: sns and sqs
    │ • dynamodb v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/dynamodb/1
    │ • lambda v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ • s3 v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
    insta::assert_snapshot!(text(&shared), @"🔴 publish fails in 5 services, 3 new: dynamodb, lambda and s3");
}

#[test]
fn who_joins_a_shared_cause_alone_is_told_in_full() {
    let mut shared = notification(Event::SharedCause, vec![item("s3", "v1.4.4")]);
    shared.shared_by = 3;
    shared.earlier = vec!["sns".to_owned(), "sqs".to_owned()];
    insta::assert_snapshot!(seen(&shared), @r#"
    ┌ 🔴 s3 v1.4.4: publish fails too, 3 services in all
    │ @subteam^S0123
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ Told before: sns and sqs
    │ Controller: s3-controller  Stage: publish
    │ Version: v1.4.4            Job: s3-post-submit
    │ Severity: critical         Failing since: 2026-05-19 20:35 UTC
    │ How often: 1 failed run    Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/s3-run-1
    └ aws-controllers-k8s/s3-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn a_recovery_names_what_it_closes() {
    let mut item = recovered(item("lambda", "v1.4.4"), "v1.4.5");
    item.failures = 3;
    let good = notification(Event::Recovered, vec![item]);
    insta::assert_snapshot!(seen(&good), @r#"
    ┌ ✅ lambda v1.4.5: publish recovered
    │ It passed at 2026-05-19 22:50 UTC, 2h 15m and 3 failed runs after it first broke.
    │ What had broken: the pod did not start in time (pending timeout)
    │ Controller: lambda-controller  Stage: publish
    │ Version: v1.4.4                Job: lambda-post-submit
    │ Severity: critical             First failure: 2026-05-19 20:35 UTC
    │ How often: 3 failed runs       Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/good
    └ aws-controllers-k8s/lambda-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
    insta::assert_snapshot!(text(&good), @"✅ lambda v1.4.5: publish recovered. It passed at 2026-05-19 22:50 UTC, 2h 15m and 3 failed runs after it first broke.");
}

#[test]
fn a_shared_recovery_is_one_list_and_says_what_is_left() {
    let items = ["lambda", "s3"].map(|name| recovered(item(name, "v1.4.4"), "v1.4.5"));
    let mut good = notification(Event::Recovered, items.to_vec());
    good.shared_by = 1;
    insta::assert_snapshot!(seen(&good), @r#"
    ┌ ✅ publish recovered in 2 services
    │ Still failing elsewhere: 1 service.
    │ • lambda v1.4.5 passed after 2h 15m and 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ • s3 v1.4.5 passed after 2h 15m and 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn a_digest_is_grouped_and_puts_the_unclassified_last() {
    let mut items: Vec<Item> = ["lambda", "s3", "sns"]
        .map(|name| item(name, "main"))
        .into();
    for (item, stage) in items.iter_mut().zip([None, Some("olm"), Some("copy")]) {
        item.class.severity = Severity::NonCritical;
        item.class.stage = stage.map(str::to_owned);
    }
    items[0].class.rule = None;
    items[1] = recovered(items[1].clone(), "main");
    let mut digest = notification(Event::Digest, items);
    digest.digest = Some(DigestKind::Period {
        since: at("10:00:00"),
    });
    insta::assert_snapshot!(seen(&digest), @r#"
    ┌ 🟡 Digest: 2 jobs failing, 1 recovered
    │ Collected since 2026-05-19 10:00 UTC.
    │ copy (non-critical)
    │ • sns main sns-post-submit 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/sns/1 – the pod did not start in time (pending timeout)
    │ olm (non-critical)
    │ • s3 main s3-post-submit passed after 2h 15m and 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    │ unclassified, no rule knows these jobs (non-critical)
    │ • lambda main lambda-post-submit 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1 – the pod did not start in time (pending timeout)
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
    insta::assert_snapshot!(text(&digest), @"🟡 Digest: 2 jobs failing, 1 recovered: lambda, s3 and sns");
}

#[test]
fn the_first_start_is_summed_up() {
    let mut summary = notification(Event::Digest, vec![item("lambda", "v1.4.4")]);
    summary.digest = Some(DigestKind::FirstStart);
    insta::assert_snapshot!(seen(&summary), @r#"
    ┌ 🔴 Failing since before the first start: 1 job
    │ These failed before the notifier first started. From now on failures are told as they happen.
    │ publish (critical)
    │ • lambda v1.4.4 lambda-post-submit 1 failed run Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1 – the pod did not start in time (pending timeout)
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    "#);
}

#[test]
fn a_long_list_is_cut_with_the_number_of_what_is_left_out() {
    let items: Vec<Item> = (0..60)
        .map(|n| item(&format!("service-{n}"), "v1.0.0"))
        .collect();
    let mut shared = notification(Event::SharedCause, items);
    shared.total = 77;
    let shown = seen(&shared);
    let listed = shown.matches("• service-").count();
    assert!(listed > 40, "{shown}");
    assert!(
        shown.contains(&format!("…and {} more\n", 77 - listed)),
        "{shown}"
    );
}

#[test]
fn the_plain_layout_has_the_same_facts() {
    let opened = notification(Event::Opened, vec![item("lambda", "v1.4.4")]);
    let payload = render_plain(&opened, &look());
    assert!(payload.get("blocks").is_none());
    insta::assert_snapshot!(preview_text(&payload), @r#"
    ┌ 🔴 lambda v1.4.4: publish failed (infrastructure)
    │ @subteam^S0123
    │ What broke, in the cluster or in Prow: the pod did not start in time (pending timeout)
    │ Controller: lambda-controller
    │ Stage: publish
    │ Version: v1.4.4
    │ Job: lambda-post-submit
    │ Severity: critical
    │ Failing since: 2026-05-19 20:35 UTC
    │ How often: 1 failed run
    │ Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/lambda-run-1
    └ id:1a2b3c4d
    "#);
}

#[test]
fn the_last_element_is_the_visible_id_and_nobody_else_is_rung() {
    let opened = notification(Event::Opened, vec![item("lambda", "v1.4.4")]);
    let blocks = render(&opened, &look())["blocks"].clone();
    let footer = blocks.as_array().unwrap().last().unwrap().clone();
    let last = footer["elements"].as_array().unwrap().last().unwrap();
    assert_eq!(last["text"], "id:1a2b3c4d");
    for event in [Event::Recovered, Event::Digest] {
        let calm = notification(event, vec![item("lambda", "v1.4.4")]);
        assert!(!render(&calm, &look()).to_string().contains("subteam"));
    }
}

#[test]
fn the_builder_link_holds_the_blocks() {
    let opened = notification(Event::Opened, vec![item("lambda", "v1.4.4")]);
    let url = builder_url(&render(&opened, &look()));
    assert!(url.starts_with("https://app.slack.com/block-kit-builder#%7B%22blocks%22%3A%5B%7B"));
    assert!(url.is_ascii() && !url.contains(['"', ' ', '<']));
}
