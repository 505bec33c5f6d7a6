//! Releases: in whichever order the runs of their stages are seen, the same stages are broken in the end.

use prow_notifier::domain::pipeline::{Need, Pipeline, Signs, Stage};

use super::*;

fn stage(name: &str, needs: &[(&str, Option<u64>)], shared: bool) -> Stage {
    Stage {
        name: name.to_owned(),
        needs: needs
            .iter()
            .map(|(stage, within)| Need {
                stage: (*stage).to_owned(),
                within: within.map(Duration::from_secs),
            })
            .collect(),
        shared,
        severity: Severity::Critical,
        signs: Signs::default(),
        overdue: None,
    }
}

/// Jobs are called as their stages.
fn release_policy(shared: bool, proving: bool) -> Policy {
    let mut policy = both();
    let rule = &mut policy.rules[0];
    rule.matchers
        .push(Matcher::parse(r#"job=~"(?<stage>.+)""#).unwrap());
    rule.set.stage = Some(Template::parse("$stage"));
    let within = proving.then_some(1_800);
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

fn any_stage() -> impl Strategy<Value = Observation> {
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

/// Jobs that are broken, since when, and how often they failed.
fn broken(state: &State) -> Vec<String> {
    let open = state
        .incidents
        .values()
        .filter(|incident| incident.is_open());
    let mut open: Vec<String> = open
        .map(|i| format!("{} {} {} {}", i.job, i.first.run, i.latest.run, i.failures))
        .collect();
    open.sort();
    open
}

/// What is known of each release, but for the run that was seen first, by which it is routed.
fn stages(state: &State) -> Vec<String> {
    let releases = state.releases.iter();
    releases
        .map(|(key, release)| format!("{key} {:?} {:?}", release.stages, release.due))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_changes_nothing_of_releases((runs, order) in release_history(), shared in any::<bool>(), proving in any::<bool>()) {
        let policy = release_policy(shared, proving);
        let (sorted, _, _) = say(&policy, &runs, 0..runs.len());
        let (shuffled, _, _) = say(&policy, &runs, order.iter().copied());
        prop_assert_eq!(stages(&sorted), stages(&shuffled));
        prop_assert_eq!(&sorted.healed, &shuffled.healed);
        prop_assert_eq!(broken(&sorted), broken(&shuffled), "shared {} proving {}", shared, proving);
    }
}
