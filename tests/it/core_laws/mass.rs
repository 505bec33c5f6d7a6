//! Mass failures: whatever explains a failure, its own receiver is told, and a known cause of another kind is told
//! to everybody.

use prow_notifier::domain::{
    evidence::{CauseClass, Evidence, Finding, Origin, Signature},
    mass::MassPolicy,
};

use super::*;

/// No service shares a stage with another.
fn apart(mass: MassPolicy) -> Policy {
    let mut policy = Policy {
        reads_evidence: true,
        mass,
        ..both()
    };
    policy.rules[0].set.stage = Some(Template::parse("publish-$service"));
    policy
}

fn found(class: CauseClass, signature: Option<&str>) -> Finding {
    Finding::Found(Evidence {
        class,
        headline: "why".to_owned(),
        signature: signature.map(|text| Signature(text.to_owned())),
        origin: Origin::Log,
        rule: None,
        excerpt: None,
    })
}

/// Services that fail one after the other, each for a reason; what the platform hears.
fn after(reasons: &[(CauseClass, Option<&str>)]) -> Daemon {
    let mut daemon = Daemon::new(apart(MassPolicy::default()));
    for (index, (class, signature)) in reasons.iter().enumerate() {
        daemon.advance(30);
        let name = format!("r{index}");
        let failed = run(&name, &format!("s{index}"), ProwState::Failure, daemon.now);
        daemon
            .state
            .observe(&daemon.policy, &failed, at(daemon.now));
        daemon
            .state
            .learn(&failed.run, &found(*class, *signature), false);
        daemon.flush(false);
    }
    daemon.advance(10);
    for index in 0..reasons.len() {
        let own = daemon.events(&format!("by-service/s{index}"));
        assert_eq!(own, [Event::Opened], "each hears of its own");
    }
    daemon
}

#[test]
fn one_trouble_of_the_infrastructure_in_three_services_is_one_cause() {
    let network = (CauseClass::Network, None);
    let daemon = after(&[network, network, network, network]);
    let two_and_all = [Event::Opened, Event::Opened, Event::SharedCause];
    assert_eq!(daemon.events("platform"), two_and_all);
    let said = daemon
        .said
        .iter()
        .find(|said| said.event == Event::SharedCause);
    let what = &said.unwrap().items[0].what;
    assert_eq!(
        what,
        "network error in 3 services within 30 min: s0, s1, s2"
    );
}

#[test]
fn one_error_at_several_stages_is_one_cause_and_an_unknown_or_another_is_not() {
    let same = (CauseClass::Dependency, Some("v1:same"));
    let two_and_all = [Event::Opened, Event::Opened, Event::SharedCause];
    assert_eq!(
        after(&[same, same, same, same]).events("platform"),
        two_and_all
    );
    let unclassified = (CauseClass::Unclassified, Some("v1:same"));
    let daemon = after(&[unclassified, unclassified, unclassified]);
    assert_eq!(daemon.events("platform"), [Event::Opened; 3]);
    let other = (CauseClass::Dependency, Some("v1:other"));
    let daemon = after(&[same, same, same, other]);
    assert_eq!(
        daemon.events("platform").last(),
        Some(&Event::Opened),
        "another cause"
    );
}

#[test]
fn a_known_cause_of_another_kind_is_never_folded_into_a_mass_failure() {
    let mut reasons = vec![(CauseClass::Network, None); 12];
    reasons[11] = (CauseClass::Compile, Some("v1:own"));
    let daemon = after(&reasons);
    let last = daemon
        .said
        .iter()
        .rfind(|said| said.receiver == "platform")
        .unwrap();
    assert_eq!(
        (last.event, last.items[0].class.owner()),
        (Event::Opened, "s11")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_changes_nothing_of_a_mass_failure((runs, order) in history(), share in 20..80_u32) {
        let mass = MassPolicy { share, jobs: 2, services: 2, ..MassPolicy::default() };
        let policy = Policy { reads_evidence: false, ..apart(mass) };
        let seen = |order: &mut dyn Iterator<Item = usize>| {
            let mut state = State::default();
            for index in order {
                state.observe(&policy, &runs[index], at(2_400));
            }
            let told = state.flush(&policy, at(2_400), false);
            let mut said: Vec<String> = told.iter().map(|told| format!("{:?}", told.notification)).collect();
            said.sort();
            (incidents(&state), said)
        };
        let sorted = seen(&mut (0..runs.len()));
        let shuffled = seen(&mut order.iter().copied());
        prop_assert_eq!(sorted, shuffled);
    }

    #[test]
    fn a_mass_failure_keeps_nothing_from_a_service_of_its_own((runs, order) in history()) {
        let mass = MassPolicy { jobs: 2, services: 2, ..MassPolicy::default() };
        let policy = Policy { reads_evidence: false, ..apart(mass) };
        let (state, _, said) = say(&policy, &runs, order.iter().copied());
        prop_assert!(state.folds.values().all(|fold| fold.waiting.is_empty()), "nothing stays owed");
        let never = MassPolicy { jobs: u32::MAX, services: u32::MAX, ..mass };
        let (_, _, without) = say(&Policy { mass: never, ..policy }, &runs, order.iter().copied());
        let own = |said: &[String]| -> Vec<String> {
            let own = said.iter().filter(|said| said.contains("receiver: \"by-service/"));
            own.map(|said| said.chars().take(60).collect()).collect()
        };
        prop_assert_eq!(own(&said).len(), own(&without).len());
    }
}
