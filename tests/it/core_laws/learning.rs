//! Reasons: whenever they come, and in whichever order, no message is lost or doubled.

use prow_notifier::domain::{
    evidence::{CauseClass, Evidence, Finding, Origin},
    mass::MassPolicy,
};

use super::*;

/// No service shares a stage with another.
fn apart() -> Policy {
    let mut policy = both();
    policy.rules[0].set.stage = Some(Template::parse("publish-$service"));
    policy
}

fn found(of: &RunName) -> Finding {
    Finding::Found(Evidence {
        class: CauseClass::Compile,
        headline: format!("reason of {of}"),
        signature: None,
        origin: Origin::Log,
        rule: None,
        excerpt: None,
    })
}

/// What is learned of the run of this number so many seconds after it was seen, if it was found, and whether it
/// is tried again soon.
type Lesson = (usize, i64, bool, bool);

fn lessons() -> impl Strategy<Value = Vec<Lesson>> {
    let lesson = (0..30_usize, 0..400_i64, any::<bool>(), any::<bool>());
    prop::collection::vec(lesson, 0..60)
}

/// What is said to whom of which incidents, without when and why.
fn facts(said: &[Notification]) -> Vec<String> {
    let mut facts: Vec<String> = said
        .iter()
        .map(|said| {
            let items: Vec<String> = said
                .items
                .iter()
                .map(|item| {
                    let closed = item.recovered.as_ref().map(|good| &good.run);
                    format!("{} {} {} {closed:?}", item.job, item.since, item.failures)
                })
                .collect();
            format!("{} {} {items:?}", said.event.as_str(), said.receiver)
        })
        .collect();
    facts.sort();
    facts
}

/// Sees each run at its end and learns in between; at last all windows run out.
fn live(policy: Policy, runs: &[Observation], lessons: &[Lesson]) -> Daemon {
    let mut daemon = Daemon::new(policy);
    let mut steps: Vec<(i64, usize, Option<&Lesson>)> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let end = run.completed_at.unwrap().as_second() - at(0).as_second();
        steps.push((end, index, None));
        let of_run = lessons.iter().filter(|lesson| lesson.0 == index);
        steps.extend(of_run.map(|lesson| (end + lesson.1, index, Some(lesson))));
    }
    steps.sort_by_key(|(second, index, lesson)| (*second, lesson.is_some(), *index));
    for (second, index, lesson) in steps {
        daemon.advance(second - daemon.now);
        let run = &runs[index];
        match lesson {
            None => drop(daemon.observe(run)),
            Some((_, _, true, _)) => daemon.state.learn(&run.run, &found(&run.run), false),
            Some((_, _, false, soon)) => {
                let why = Finding::Unreadable("503".to_owned());
                daemon.state.learn(&run.run, &why, *soon);
            }
        }
        daemon.flush(false);
    }
    daemon.advance(40 * 86_400);
    daemon
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reasons_neither_lose_nor_double_a_message(
        (runs, _) in history(),
        lessons in lessons(),
        group_wait in prop::sample::select(vec![0, 5]),
    ) {
        // Of a shared cause the next message goes a while after the last, so waiting moves more than one.
        let mut silent = if group_wait == 0 { both() } else { apart() };
        // A reason may tell that several have one cause, and that is told too.
        silent.mass = MassPolicy { jobs: u32::MAX, services: u32::MAX, ..MassPolicy::default() };
        let policy = Policy {
            reads_evidence: true,
            group_wait: Duration::from_secs(group_wait),
            ..silent.clone()
        };
        let silent = live(silent, &runs, &[]);
        let taught = live(policy, &runs, &lessons);
        prop_assert_eq!(incidents(&silent.state), incidents(&taught.state));
        prop_assert!(taught.state.folds.values().all(|fold| fold.waiting.is_empty()), "nothing stays held");
        // Runs that end in the same moment are held as one, so only whole moments can be compared.
        let mut moments: Vec<_> = runs.iter().map(|run| run.completed_at).collect();
        moments.dedup();
        if moments.len() == runs.len() {
            prop_assert_eq!(facts(&silent.said), facts(&taught.said));
        }
    }

    #[test]
    fn the_order_of_reasons_changes_nothing((runs, _) in history(), order in prop::collection::vec(any::<prop::sample::Index>(), 30)) {
        let policy = Policy { reads_evidence: true, ..both() };
        let learn = |reversed: bool| {
            let mut state = State::default();
            for run in &runs {
                state.observe(&policy, run, at(3_600));
            }
            let mut names: Vec<&RunName> = order.iter().map(|index| &index.get(&runs).run).collect();
            if reversed {
                names.reverse();
            }
            for name in names {
                state.learn(name, &found(name), false);
            }
            let told = state.flush(&policy, at(3_605), false);
            let told: Vec<Notification> = told.into_iter().map(|told| told.notification).collect();
            (incidents(&state), format!("{told:?}"))
        };
        prop_assert_eq!(learn(false), learn(true));
    }
}
