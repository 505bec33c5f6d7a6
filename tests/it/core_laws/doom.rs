//! Doomed runs: in whichever order the runs of a release are seen, the same ones are named, and none behind what
//! may pass at the next try.

use prow_notifier::domain::{
    doom::{AbortDownstream, Stop, is_transient},
    evidence::{CAUSE_CLASSES, CauseClass, Evidence, Finding, Origin},
};

use super::{
    releases::{any_stage, release_policy},
    *,
};

fn any_sighting() -> impl Strategy<Value = Observation> {
    (any_stage(), any::<bool>()).prop_map(|(mut run, running)| {
        // All of one version of each service.
        "v1.0.0".clone_into(&mut run.refs.as_mut().unwrap().base_ref);
        if running {
            (run.state, run.completed_at) = (ProwState::Pending, None);
        }
        run
    })
}

fn sightings() -> impl Strategy<Value = (Vec<Observation>, Vec<usize>)> {
    prop::collection::vec(any_sighting(), 1..16).prop_flat_map(|mut runs| {
        runs.sort_by(|a, b| (a.started_at, &a.run).cmp(&(b.started_at, &b.run)));
        runs.dedup_by(|a, b| a.run == b.run);
        let all: Vec<usize> = (0..runs.len()).chain(0..runs.len()).collect();
        (Just(runs), Just(all).prop_shuffle())
    })
}

/// What is named until everything that waits behind a root was told.
fn doomed(
    policy: &Policy,
    runs: &[Observation],
    order: impl Iterator<Item = usize>,
) -> (State, BTreeMap<RunName, Stop>) {
    let mut state = State::default();
    for index in order {
        state.observe(policy, &runs[index], at(3_600));
    }
    let mut stops = BTreeMap::new();
    for hour in 1..12 {
        state.flush(policy, at(3_600 * hour), false);
        stops.extend(state.stops.clone());
    }
    (state, stops)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_changes_nothing_of_the_doomed((runs, order) in sightings()) {
        let policy = release_policy(false, None);
        let (state, sorted) = doomed(&policy, &runs, 0..runs.len());
        let (_, shuffled) = doomed(&policy, &runs, order.iter().copied());
        prop_assert_eq!(sorted.keys().collect::<Vec<_>>(), shuffled.keys().collect::<Vec<_>>());
        for stop in sorted.values() {
            let named = runs.iter().find(|run| run.run == stop.doomed.run).unwrap();
            prop_assert!(!named.is_finished(), "only what is not over");
            let release = state.releases.values().find(|release| {
                release.stages.values().any(|seen| seen.run == stop.doomed.run)
            }).unwrap();
            let broken = &release.stages[&stop.broken];
            prop_assert!(broken.verdict.is_bad() && broken.done_at.is_none(), "no rerun, no success");
        }
    }
}

/// A failed `publish` of this cause before a pending `chart`; whether that is named.
fn names_it(class: Option<CauseClass>, change: impl Fn(&mut Policy)) -> bool {
    let mut policy = Policy {
        reads_evidence: true,
        ..release_policy(false, None)
    };
    change(&mut policy);
    let of = |job: &str, state| {
        let mut run = run(job, "s3", state, 100);
        job.clone_into(&mut run.job);
        "v1.0.0".clone_into(&mut run.refs.as_mut().unwrap().base_ref);
        run
    };
    let mut chart = of("chart", ProwState::Triggered);
    chart.completed_at = None;
    let broken = of("publish", ProwState::Failure);
    let mut state = State::default();
    state.observe(&policy, &chart, at(100));
    state.observe(&policy, &broken, at(100));
    if let Some(class) = class {
        let evidence = Evidence {
            class,
            headline: "why".to_owned(),
            signature: None,
            origin: Origin::Log,
            rule: None,
            excerpt: None,
        };
        state.learn(&broken.run, &Finding::Found(evidence), false);
    }
    let told = state.flush(&policy, at(105), false);
    assert!(!told.is_empty());
    let shown = told
        .iter()
        .any(|told| !told.notification.items[0].doom.doomed.is_empty());
    assert_eq!(shown, !state.stops.is_empty());
    shown
}

#[test]
fn what_may_pass_at_the_next_try_dooms_nothing() {
    for class in CAUSE_CLASSES {
        assert_eq!(
            names_it(Some(class), |_| ()),
            !is_transient(class),
            "{class}"
        );
    }
    for class in [
        CauseClass::Network,
        CauseClass::Registry,
        CauseClass::RateLimit,
    ] {
        assert!(is_transient(class));
    }
    assert!(
        !names_it(None, |_| ()),
        "while nobody knows why, it may be a passing cause"
    );
    assert!(names_it(None, |policy| policy.reads_evidence = false));
}

#[test]
fn an_edge_that_is_off_and_a_limit_that_is_reached_doom_nothing() {
    let off = |policy: &mut Policy| {
        let stages = &mut policy.pipelines[0].stages;
        for need in stages.iter_mut().flat_map(|stage| &mut stage.needs) {
            need.abort_downstream = AbortDownstream::Off;
        }
    };
    assert!(!names_it(Some(CauseClass::Compile), off));
    let gate = |policy: &mut Policy| policy.pipelines[0].stages[2].needs[1].gate = true;
    assert!(
        !names_it(Some(CauseClass::Compile), gate),
        "a person started it"
    );
    let none_left = |policy: &mut Policy| policy.stops.per_hour = 0;
    assert!(!names_it(Some(CauseClass::Compile), none_left));
}
