//! No input breaks a limit or rings anybody.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    doom::{Doom, Doomed, stop_command},
    evidence::{CAUSE_CLASSES, Evidence, Excerpt, LogLine, Origin},
    incident::IncidentId,
    root::Root,
};

/// Made of few strategies: tens of thousands of texts are made up per run of this test.
fn hostile_text() -> impl Strategy<Value = String> {
    const PIECES: [&str; 12] = [
        "",
        "lambda-controller",
        "<!channel> <@U1> <!here|x> <https://x.y|z>",
        "\u{202e}\u{200b}\u{2066}\r\n\t\u{0}`*_~",
        "\\",
        "\"",
        "&",
        "&amp",
        "<",
        ">|",
        "`",
        "🔴ü",
    ];
    let piece = || prop::sample::select(&PIECES[..]);
    let letters = prop::option::of(any::<[char; 3]>());
    (piece(), letters, piece(), 0..1_000_usize).prop_map(|(first, letters, last, length)| {
        let letters: String = letters.into_iter().flatten().collect();
        // Half are short, the others up to twice as long as any room.
        let repeats = length.saturating_sub(500) * 5 / last.len().max(1);
        format!("{first}{letters}{}", last.repeat(repeats))
    })
}

fn hostile_url() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile_text().prop_map(|path| format!("https://prow.ack.aws.dev/{path}")),
        hostile_text(),
    ]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.as_second()..Timestamp::MAX.as_second())
        .prop_map(|seconds| Timestamp::from_second(seconds).unwrap())
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![
        Verdict::Running,
        Verdict::Pass,
        Verdict::NoOp,
        Verdict::SoftFail,
        Verdict::Fail,
        Verdict::Infra,
        Verdict::AbortedByHuman,
        Verdict::Superseded,
    ])
}

fn any_class() -> impl Strategy<Value = Classification> {
    let optional = || prop::option::of(hostile_text());
    let severity = prop::sample::select(vec![Severity::Critical, Severity::NonCritical]);
    let texts = (optional(), optional(), optional(), optional());
    (texts, hostile_text(), severity).prop_map(|(texts, component, severity)| Classification {
        rule: texts.0,
        service: texts.1,
        controller: texts.2,
        stage: texts.3,
        component,
        severity,
        every: None,
        after: None,
        runbook: None,
    })
}

prop_compose! {
    fn any_recovery()(
        at in any_time(), base_ref in hostile_text(), seconds in any::<i64>(),
        by in prop::option::of(hostile_text()), skipped in prop::option::of(hostile_text()),
    ) -> Recovery {
        let after = SignedDuration::from_secs(seconds);
        Recovery { at, run: RunName("good".to_owned()), base_ref, after, by, skipped }
    }
}

fn any_links() -> impl Strategy<Value = Vec<Link>> {
    let copies = prop::sample::select(&[0, 1, 2, 12][..]);
    (hostile_text(), hostile_url(), copies)
        .prop_map(|(label, url, copies)| vec![Link { label, url }; copies])
}

prop_compose! {
    fn any_item()(
        class in any_class(),
        [job, repository, base_ref, run, what] in [
            hostile_text(), hostile_text(), hostile_text(), hostile_text(), hostile_text()
        ],
        (is_tag, failures, verdict) in (any::<bool>(), any::<u64>(), any_verdict()),
        (since, last_good) in (any_time(), prop::option::of((any_time(), hostile_text()))),
        recovered in prop::option::of(any_recovery()),
        ask in prop::option::of(hostile_text()),
        links in any_links(),
        (root, blocks) in (
            prop::option::of((hostile_text(), hostile_text(), any_time())), prop::collection::vec(hostile_text(), 0..9)
        ),
        (evidence, evidence_note) in (prop::option::weighted(0.3, any_evidence()), prop::option::of(hostile_text())),
        doom in any_doom(),
    ) -> Item {
        Item {
            kind: crate::domain::incident::Kind::Failing,
            flaky: Some(job.clone()),
            class, job, repository, base_ref, is_tag, verdict, what, since, failures, recovered, ask,
            run: RunName(run),
            latest: since,
            new_failures: failures,
            last_good: last_good.map(|(at, base_ref)| LastGood { at, base_ref }),
            root: root.map(|(owner, stage, since)| Root { incident: IncidentId(1), owner, stage, since }),
            blocks, doom,
            log_link: links.first().cloned(),
            links,
            evidence,
            evidence_note,
        }
    }
}

fn any_doom() -> impl Strategy<Value = Doom> {
    let name = prop_oneof![hostile_text(), "[a-z0-9-]{1,250}", "[a-z0-9]{1,253}"];
    let doomed = (name, hostile_text()).prop_map(|(name, stage)| {
        let run = RunName(name);
        let command = stop_command(&run, Some("prow"));
        Doomed {
            run,
            stage,
            command,
            ordered: false,
        }
    });
    let doomed = prop::collection::vec(doomed, 0..12);
    (doomed, 0..3_usize).prop_map(|(doomed, withheld)| Doom {
        pending: Vec::new(),
        doomed,
        withheld,
    })
}

prop_compose! {
    fn any_evidence()(
        [headline, line, other] in [hostile_text(), hostile_text(), hostile_text()],
        class in prop::sample::select(&CAUSE_CLASSES[..]),
        (count, deciding, number) in (0..14_usize, 0..16_usize, prop::option::of(any::<u64>())),
    ) -> Evidence {
        let text = |index: usize| if index == deciding { line.clone() } else { other.clone() };
        let lines = (0..count).map(|index| LogLine { number, text: text(index) }).collect();
        Evidence {
            class, headline,
            signature: None,
            origin: Origin::Log,
            rule: None,
            excerpt: Some(Excerpt { file: "build-log.txt".to_owned(), lines, deciding }),
        }
    }
}

fn any_items() -> impl Strategy<Value = Vec<Item>> {
    // Many copies of a few cost less to make up than many.
    let few = prop::collection::vec(any_item(), 0..3);
    (few, prop_oneof![9 => Just(1), 1 => 2..30_usize]).prop_map(|(few, times)| {
        let count = few.len() * times;
        few.into_iter().cycle().take(count).collect()
    })
}

prop_compose! {
    fn any_notification()(
        items in any_items(),
        event in prop::sample::select(vec![
            Event::Opened, Event::StillFailing, Event::SharedCause, Event::Recovered, Event::Digest
        ]),
        (at, since) in (any_time(), any_time()),
        (total, shared_by) in (0..100_usize, any::<usize>()),
        earlier in prop_oneof![
            2 => prop::collection::vec(hostile_text(), 0..3),
            1 => hostile_text().prop_map(|name| vec![name; 60])
        ],
        id in hostile_text(),
        period in prop::option::of(any::<bool>()),
        diverted in prop::option::of((hostile_text(), hostile_text())),
    ) -> Notification {
        Notification {
            id,
            total,
            shared_by,
            earlier,
            at,
            digest: period.map(|period| {
                if period { DigestKind::Period { since } } else { DigestKind::FirstStart }
            }),
            diverted: diverted.map(|(from, reason)| Diverted { from, reason }),
            ..notification(event, items)
        }
    }
}

fn any_look() -> impl Strategy<Value = Look> {
    (
        prop::option::of(Just(MENTION_ONCALL.to_owned())),
        prop::option::of(hostile_url()),
    )
        .prop_map(|(mention, external_url)| Look {
            mention,
            external_url,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn no_input_breaks_a_limit_or_rings_anybody(
        notification in any_notification(), look in any_look()
    ) {
        let rendered = render(&notification, &look);
        prop_assert!(rendered.get("blocks").is_some());
        for payload in [rendered, render_plain(&notification, &look)] {
            let found = violations(&payload, &[MENTION_ONCALL]);
            prop_assert!(found.is_empty(), "{:?}", found);
            preview_text(&payload);
        }
    }
}
