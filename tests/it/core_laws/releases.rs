//! Releases: in whichever order the runs of their stages are seen, the same stages are broken in the end.

use prow_notifier::domain::pipeline::{Need, Pipeline, Stage};

use super::*;

fn stage(name: &str, needs: &[(&str, Option<u64>)], shared: bool) -> Stage {
    Stage {
        name: name.to_owned(),
        needs: needs
            .iter()
            .map(|(stage, within)| Need {
                stage: (*stage).to_owned(),
                within: within.map(Duration::from_secs),
                ..Need::default()
            })
            .collect(),
        shared,
        severity: Severity::Critical,
        ..Stage::default()
    }
}

/// Jobs are called as their stages. With `within`, the tag starts what needs it: their start ends what was open
/// before it of the tag.
pub(super) fn release_policy(shared: bool, within: Option<u64>) -> Policy {
    let mut policy = both();
    let rule = &mut policy.rules[0];
    rule.matchers
        .push(Matcher::parse(r#"job=~"(?<stage>.+)""#).unwrap());
    rule.set.stage = Some(Template::parse("$stage"));
    policy.keeps_deadlines = false;
    policy.pipelines = vec![Pipeline {
        name: "release".to_owned(),
        matchers: Vec::new(),
        stages: vec![
            stage("tag", &[], false),
            stage("publish", &[("tag", within)], false),
            stage("chart", &[("tag", within), ("publish", None)], shared),
        ],
    }];
    policy
}

pub(super) fn any_stage() -> impl Strategy<Value = Observation> {
    let states = prop_oneof![Just(ProwState::Failure), Just(ProwState::Success)];
    let stages = prop::sample::select(vec!["tag", "publish", "chart"]);
    (0..3_u8, stages, 0..40_i64, states).prop_map(|(service, stage, minute, state)| {
        let service = format!("s{service}");
        let mut run = run(
            &format!("{service}-{stage}-{minute}"),
            &service,
            state,
            minute * 60,
        );
        stage.clone_into(&mut run.job);
        if let Some(refs) = &mut run.refs {
            "v1.0.0".clone_into(&mut refs.base_ref);
        }
        run
    })
}

fn release_history() -> impl Strategy<Value = (Vec<Observation>, Vec<usize>)> {
    prop::collection::vec(any_stage(), 1..20).prop_flat_map(|mut runs| {
        runs.sort_by(|a, b| (a.completed_at, &a.run).cmp(&(b.completed_at, &b.run)));
        runs.dedup_by(|a, b| a.run == b.run);
        let all: Vec<usize> = (0..runs.len()).chain(0..runs.len()).collect();
        (Just(runs), Just(all).prop_shuffle())
    })
}

/// Jobs that are broken, and their latest failure. Since when and how often depends on the order: a success of
/// another job parts no incident that goes on after it, it only ends what is over.
fn broken(state: &State) -> Vec<String> {
    let open = state
        .incidents
        .values()
        .filter(|incident| incident.is_open());
    let mut open: Vec<String> = open
        .map(|i| format!("{} {}", i.job, i.latest.run))
        .collect();
    open.sort();
    open
}

/// What is known of each release, with the run by which it is routed.
fn stages(state: &State) -> Vec<String> {
    let releases = state.releases.iter();
    releases
        .map(|(key, release)| {
            format!(
                "{key} {:?} {:?} {}",
                release.stages, release.due, release.origin.run
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_changes_nothing_of_releases((runs, order) in release_history(), shared in any::<bool>(), starts in any::<bool>()) {
        let policy = release_policy(shared, starts.then_some(1800));
        let (sorted, _, _) = say(&policy, &runs, 0..runs.len());
        let (shuffled, _, _) = say(&policy, &runs, order.iter().copied());
        prop_assert_eq!(stages(&sorted), stages(&shuffled));
        let healed = |state: &State| -> Vec<_> { state.healed.iter().map(|(key, good)| (key.clone(), good.at)).collect() };
        prop_assert_eq!(healed(&sorted), healed(&shuffled));
        prop_assert_eq!(broken(&sorted), broken(&shuffled), "shared {} starts {}", shared, starts);
    }
}

#[test]
fn a_stage_that_all_share_is_healed_on_gerrit_too() {
    let mut daemon = Daemon::new(release_policy(true, None));
    let chart = |name: &str, service: &str, state: ProwState, end: i64| {
        let mut run = run(name, service, state, end);
        "chart".clone_into(&mut run.job);
        if let Some(refs) = &mut run.refs {
            "https://gerrit.example.org".clone_into(&mut refs.org);
        }
        run
    };
    daemon.observe(&chart("a", "s3", ProwState::Failure, 0));
    daemon.now = 60;
    let healing = daemon.observe(&chart("b", "sqs", ProwState::Success, 60));
    assert_eq!(healing.decision, Decision::Recovered);
    assert_eq!(broken(&daemon.state), Vec::<String>::new());
}

/// What a later stage proves ends the first failure; the second is reported by a command, and passes in the end.
#[test]
fn a_run_that_passes_in_the_end_closes_what_its_report_had_opened() {
    let mut daemon = Daemon::new(release_policy(false, Some(1_800)));
    let of = |name: &str, stage: &str, state: ProwState, end: i64| {
        let mut run = run(name, "s3", state, end);
        stage.clone_into(&mut run.job);
        if let Some(refs) = &mut run.refs {
            "v1.0.0".clone_into(&mut refs.base_ref);
        }
        run
    };
    let reported = Observation {
        source: Source::Exec,
        provisional: true,
        ..of("b", "tag", ProwState::Failure, 200)
    };
    for run in [
        of("a", "tag", ProwState::Failure, 0),
        of("p", "publish", ProwState::Success, 120),
        reported,
        of("b", "tag", ProwState::Success, 260),
    ] {
        daemon.now = run.seen_at.as_second() - at(0).as_second();
        daemon.observe(&run);
    }
    assert_eq!(broken(&daemon.state), Vec::<String>::new());
    let told = [Event::Opened, Event::Recovered].repeat(2);
    assert_eq!(daemon.events("platform"), told);
}
