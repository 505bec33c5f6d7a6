//! Silences and mute windows: what they hold back is told when they end, once, or summed up; nothing else changes.

use jiff::{civil::time, tz::TimeZone};
use prow_notifier::domain::{
    mute::{Span, Window},
    notification::DigestKind,
    silence::{Draft, Silence, SilenceId, Wish},
};

use super::*;

/// A silence of one service between two seconds.
fn silence(id: u64, matcher: &str, from: i64, to: i64) -> Silence {
    let matchers = [matcher.to_owned()];
    let wish = Wish {
        matchers: &matchers,
        author: "jane",
        reason: "registry moves",
        starts_at: Some(at(from)),
        ends_at: at(to),
    };
    Draft::read(&wish, at(from), Duration::from_secs(7 * 86_400))
        .unwrap()
        .made(SilenceId(id), at(from))
}

/// Every day from the first second that tests count from, for so many minutes.
fn window(minutes: i64, critical: bool) -> Window {
    let begin = at(0).to_zoned(TimeZone::UTC).time();
    Window {
        name: "move".to_owned(),
        matchers: vec![Matcher::parse(r#"stage="publish""#).unwrap()],
        times: vec![Span {
            from: time(begin.hour(), begin.minute(), begin.second(), 0),
            to: begin.wrapping_add(SignedDuration::from_mins(minutes)),
        }],
        days: Vec::new(),
        months: Vec::new(),
        zone: TimeZone::UTC,
        critical,
        on_routes: false,
    }
}

fn quiet(policy: Policy, silences: Vec<Silence>) -> Daemon {
    let mut daemon = Daemon::new(policy);
    daemon.state.set_silences(silences, at(0));
    daemon
}

/// Items of a message: service, and whether it recovered.
fn items(said: &Notification) -> Vec<(String, bool)> {
    let items = said.items.iter();
    items
        .map(|item| (item.class.owner().to_owned(), item.recovered.is_some()))
        .collect()
}

#[test]
fn what_is_still_broken_when_a_silence_ends_is_told_then() {
    let mut daemon = quiet(both(), vec![silence(3, r#"service="s3""#, 0, 3_600)]);
    let outcome = daemon.fails("a", "s3");
    assert_eq!(outcome.decision, Decision::Silenced);
    assert!(
        outcome
            .reason
            .contains("silence 3 of jane (registry moves)"),
        "{}",
        outcome.reason
    );
    assert!(outcome.receivers.is_empty());
    assert_eq!(daemon.fails("b", "lambda").decision, Decision::Notify);
    daemon.advance(3_599);
    assert_eq!(daemon.events("by-service/s3"), []);
    assert_eq!(daemon.state.incidents.len(), 2, "it opened as ever");
    daemon.advance(1);
    assert_eq!(daemon.events("by-service/s3"), [Event::Opened]);
    assert_eq!(daemon.events("platform"), [Event::Opened, Event::Opened]);
    assert_eq!(daemon.said.last().unwrap().items[0].since, at(0));
    daemon.advance(60);
    assert_eq!(daemon.passes("c", "s3").decision, Decision::Recovered);
    assert_eq!(
        daemon.events("by-service/s3"),
        [Event::Opened, Event::Recovered]
    );
}

#[test]
fn what_recovers_in_a_silence_is_summed_up_at_its_end() {
    let mut daemon = quiet(both(), vec![silence(3, r#"service=~"s3|sqs""#, 0, 3_600)]);
    daemon.fails("a", "s3");
    daemon.fails("b", "sqs");
    daemon.advance(600);
    assert_eq!(daemon.passes("c", "s3").decision, Decision::Silenced);
    daemon.advance(2_999);
    assert!(daemon.said.is_empty());
    daemon.advance(1);
    assert_eq!(daemon.events("by-service/s3"), [Event::Digest]);
    assert_eq!(daemon.events("by-service/sqs"), [Event::Opened]);
    assert_eq!(daemon.events("platform"), [Event::Opened, Event::Digest]);
    let summary = daemon.said.iter().rfind(|said| said.receiver == "platform");
    let summary = summary.unwrap();
    assert_eq!(items(summary), [("s3".to_owned(), true)]);
    assert_eq!(
        summary.digest,
        Some(DigestKind::Hushed {
            by: "silence 3 of jane (registry moves)".to_owned(),
            since: at(0),
            told_apart: 1,
        })
    );
    assert_eq!(summary.severity, Severity::NonCritical, "nobody is rung");
    assert!(daemon.state.hidden.is_empty());
    daemon.advance(86_400);
    assert_eq!(daemon.said.len(), 4);
}

#[test]
fn the_end_of_what_was_told_before_a_silence_is_in_its_summary() {
    let mut daemon = Daemon::new(both());
    daemon.fails("a", "s3");
    daemon.advance(60);
    let silences = vec![silence(1, r#"service="s3""#, 60, 3_600)];
    daemon.state.set_silences(silences, at(60));
    daemon.fails("b", "s3");
    assert_eq!(daemon.passes("c", "s3").decision, Decision::Silenced);
    daemon.advance(7_200);
    assert_eq!(
        daemon.events("by-service/s3"),
        [Event::Opened, Event::Digest]
    );
}

#[test]
fn a_silence_that_is_ended_early_lets_go_at_once() {
    let mut daemon = quiet(both(), vec![silence(1, r#"service="s3""#, 0, 86_400)]);
    daemon.fails("a", "s3");
    daemon.advance(600);
    daemon.state.set_silences(Vec::new(), at(600));
    daemon.flush(false);
    assert_eq!(daemon.events("by-service/s3"), [Event::Opened]);
    // What another one covers stays quiet until that ends.
    let silences = vec![
        silence(1, r#"service="s3""#, 600, 1_200),
        silence(2, r#"stage="publish""#, 600, 2_400),
    ];
    daemon.state.set_silences(silences, at(600));
    daemon.fails("b", "lambda");
    daemon.advance(1_799);
    assert_eq!(daemon.events("by-service/lambda"), []);
    daemon.advance(1);
    assert_eq!(daemon.events("by-service/lambda"), [Event::Opened]);
}

#[test]
fn a_window_hides_what_is_critical_only_when_it_says_so() {
    for (severity, critical, hides) in [
        (Severity::Critical, false, false),
        (Severity::Critical, true, true),
        (Severity::NonCritical, false, true),
    ] {
        let mut policy = policy(severity, Vec::new());
        policy.mutes = vec![window(30, critical)];
        let mut daemon = Daemon::new(policy);
        let decision = daemon.fails("a", "s3").decision;
        assert_eq!(decision == Decision::Silenced, hides, "{decision}");
        assert_eq!(daemon.said.is_empty(), hides);
        daemon.advance(1_800);
        assert_eq!(daemon.events("platform"), [Event::Opened]);
    }
}

#[test]
fn a_window_that_routes_name_applies_there_alone() {
    let mut policy = both();
    policy.mutes = vec![Window {
        on_routes: true,
        ..window(30, true)
    }];
    policy.routing.routes[0].mute = vec!["move".to_owned()];
    let mut daemon = Daemon::new(policy);
    assert_eq!(daemon.fails("a", "s3").decision, Decision::Notify);
    assert_eq!(daemon.events("by-service/s3"), []);
    assert_eq!(daemon.events("platform"), [Event::Opened]);
    daemon.advance(1_800);
    assert_eq!(daemon.events("by-service/s3"), [Event::Opened]);
}

#[test]
fn a_digest_leaves_out_what_is_silenced_and_a_summary_brings_it() {
    let digest = vec![route("platform", Some(600), false)];
    let mut daemon = quiet(
        policy(Severity::NonCritical, digest),
        vec![silence(1, r#"service="s3""#, 0, 3_600)],
    );
    assert_eq!(daemon.fails("a", "s3").decision, Decision::Silenced);
    assert_eq!(daemon.fails("b", "lambda").decision, Decision::Digest);
    daemon.advance(600);
    assert_eq!(items(&daemon.said[0]), [("lambda".to_owned(), false)]);
    daemon.advance(3_000);
    assert_eq!(daemon.events("platform"), [Event::Digest, Event::Digest]);
    assert_eq!(items(&daemon.said[1]), [("s3".to_owned(), false)]);
    daemon.advance(60);
    daemon.passes("c", "s3");
    daemon.advance(600);
    assert_eq!(items(&daemon.said[2]), [("s3".to_owned(), true)]);
}

#[test]
fn what_a_silenced_root_knocks_over_is_told() {
    let mut policy = releases::release_policy(false, None);
    policy.pipelines[0].stages[1].needs[0].gate = false;
    let mut daemon = quiet(policy, vec![silence(1, r#"stage="tag""#, 0, 86_400)]);
    let at_stage = |stage: &str, end: i64| {
        let mut run = run(&format!("{stage}-{end}"), "s3", ProwState::Failure, end);
        stage.clone_into(&mut run.job);
        run
    };
    assert_eq!(
        daemon.observe(&at_stage("tag", 0)).decision,
        Decision::Silenced
    );
    daemon.advance(60);
    assert_eq!(
        daemon.observe(&at_stage("publish", 60)).decision,
        Decision::Notify
    );
    assert_eq!(daemon.events("by-service/s3"), [Event::Opened]);
}

/// Silences of the services that histories are about, and some of everything.
fn any_silences() -> impl Strategy<Value = Vec<Silence>> {
    let one = (0..5_u8, 0..40_i64, 1..60_i64);
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(index, (service, from, length))| {
            let matcher = if service < 4 {
                format!(r#"service="s{service}""#)
            } else {
                r#"stage="publish""#.to_owned()
            };
            let from = from * 60;
            silence(index as u64 + 1, &matcher, from, from + length * 60)
        })
        .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_change_nothing_under_silences((runs, order) in history(), silences in any_silences(), digest in any::<bool>()) {
        let policy = if digest { policy(Severity::NonCritical, vec![route("platform", Some(600), false)]) } else { both() };
        // All is seen at the same moment, so silences are moved there.
        let silences: Vec<Silence> = silences.into_iter().map(|silence| Silence {
            starts_at: at(0),
            ends_at: silence.ends_at + SignedDuration::from_secs(3_600),
            ..silence
        }).collect();
        let (sorted, outcomes, expected) = say_under(&policy, &silences, &runs, 0..runs.len());
        prop_assert_eq!(outcomes.len(), runs.len(), "each run has one decision");
        let (shuffled, outcomes, said) = say_under(&policy, &silences, &runs, order.iter().copied());
        prop_assert_eq!(incidents(&sorted), incidents(&shuffled));
        prop_assert_eq!(expected, said);
        let again = outcomes.iter().filter(|outcome| outcome.decision == Decision::Deduplicated).count();
        prop_assert!(again >= runs.len(), "each second sighting is a repetition");
    }

    #[test]
    fn nothing_that_is_hidden_is_lost((runs, _) in history(), silences in any_silences(), minutes in 0..60_i64) {
        let mut policy = both();
        if minutes > 0 {
            policy.mutes = vec![window(minutes, true)];
        }
        let mut daemon = quiet(policy, silences);
        let mut hidden = std::collections::BTreeSet::new();
        for run in &runs {
            let ended = run.completed_at.unwrap().as_second() - at(0).as_second();
            daemon.advance((ended - daemon.now).max(0));
            let outcome = daemon.observe(run);
            hidden.extend(outcome.incident.filter(|_| outcome.decision == Decision::Silenced));
        }
        daemon.advance(40 * 86_400);
        prop_assert!(daemon.state.hidden.is_empty());
        prop_assert!(daemon.state.folds.values().all(|fold| fold.waiting.is_empty()), "nothing stays owed");
        for incident in daemon.state.incidents.values().filter(|incident| incident.announced_at.is_some()) {
            for receiver in incident.receivers() {
                let of_it = |said: &&Notification| said.receiver == receiver
                    && said.items.iter().any(|item| item.job == incident.first.job && item.since == incident.first.at);
                let told = daemon.said.iter().filter(of_it).count();
                // Of what joined a shared cause late, nothing is said when it is over before its turn comes.
                let came_late = !hidden.contains(&incident.id) && !incident.is_open();
                prop_assert!(told > 0 || came_late, "{} of {:?}", receiver, incident.first.run);
            }
        }
    }
}

#[test]
fn what_is_silenced_lets_no_other_go_without_its_reason() {
    let mut policy = both();
    policy.reads_evidence = true;
    let mut daemon = quiet(policy, vec![silence(1, r#"service="s3""#, 0, 86_400)]);
    daemon.fails("a", "s3");
    daemon.advance(600);
    daemon.fails("b", "lambda");
    daemon.advance(4);
    assert_eq!(daemon.events("platform"), [], "its log is being read");
    daemon.advance(1);
    assert_eq!(daemon.events("platform"), [Event::Opened]);
}

#[test]
fn a_host_of_gerrit_can_be_silenced_by_its_address() {
    let org = "https://gerrit.example.org";
    let matcher = format!(r#"org="{org}""#);
    let mut daemon = quiet(both(), vec![silence(1, &matcher, 0, 3_600)]);
    let mut failed = run("a", "s3", ProwState::Failure, 0);
    if let Some(refs) = &mut failed.refs {
        org.clone_into(&mut refs.org);
        "aws/s3-controller".clone_into(&mut refs.repo);
    }
    assert_eq!(daemon.observe(&failed).decision, Decision::Silenced);
}
