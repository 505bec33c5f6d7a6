//! How the reason of a failure is shown.

use super::*;
use crate::domain::{
    evidence::{CauseClass, Evidence, Excerpt, LogLine, Origin, Signature},
    notification::log_link,
};

const LOG: &[&str] = &[
    "+ make build-controller",
    "go build -tags codegen -o bin/controller ./cmd/controller",
    "# github.com/aws-controllers-k8s/lambda-controller/pkg/resource/function",
    "pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.`Mx` & <Central>",
    "\tpkg/resource/function/sdk.go:119:2: too many errors",
    "make: *** [Makefile:55: build-controller] Error 1",
];

fn excerpt(lines: &[&str], deciding: usize, from: Option<u64>) -> Excerpt {
    let numbers = from.map_or_else(Vec::new, |from| (from..).take(lines.len()).collect());
    Excerpt {
        file: "build-log.txt".to_owned(),
        lines: lines
            .iter()
            .enumerate()
            .map(|(index, text)| LogLine {
                number: numbers.get(index).copied(),
                text: (*text).to_owned(),
            })
            .collect(),
        deciding,
    }
}

fn compile() -> Evidence {
    Evidence {
        class: CauseClass::Compile,
        headline: LOG[3].to_owned(),
        signature: Some(Signature("v1:00000000000000000001".to_owned())),
        origin: Origin::Log,
        rule: Some("go-compile".to_owned()),
        excerpt: Some(excerpt(LOG, 3, Some(97))),
    }
}

fn broken(service: &str) -> Item {
    let mut item = item(service, "v1.4.4");
    item.verdict = Verdict::Fail;
    item.what = "the job failed".to_owned();
    item.evidence = Some(compile());
    item.log_link = log_link(&item.links[0].url, &compile());
    item
}

#[test]
fn an_opening_shows_the_reason_its_lines_and_a_link_to_the_very_line() {
    let opened = notification(Event::Opened, vec![broken("lambda")]);
    insta::assert_snapshot!(seen(&opened), @r"
    ┌ 🔴 lambda v1.4.4: publish failed
    │ @subteam^S0123
    │ compile error: pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │    97  + make build-controller
    │    98  go build -tags codegen -o bin/controller ./cmd/controller
    │    99  # github.com/aws-controllers-k8s/lambda-controller/pkg/resource/function
    │ → 100  pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │   101   pkg/resource/function/sdk.go:119:2: too many errors
    │   102  make: *** [Makefile:55: build-controller] Error 1
    │ Controller: lambda-controller  Stage: publish
    │ Version: v1.4.4                Job: lambda-post-submit
    │ Severity: critical             Failing since: 2026-05-19 20:35 UTC
    │ How often: 1 failed run        Last good run: v1.4.3 2026-05-19 08:00 UTC
    │ Who may know more: jo<e>
    │ Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ Log line 100: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1#1:build-log.txt%3A100
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/lambda-run-1
    └ aws-controllers-k8s/lambda-controller  ·  2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
    insta::assert_snapshot!(text(&opened), @"🔴 lambda v1.4.4: publish failed: compile error: pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' &amp; &lt;Central&gt;. First failure at 2026-05-19 20:35 UTC.");
}

#[test]
fn the_plain_layout_shows_the_reason_too() {
    let opened = notification(Event::Opened, vec![broken("lambda")]);
    insta::assert_snapshot!(preview_text(&render_plain(&opened, &look())), @r"
    ┌ 🔴 lambda v1.4.4: publish failed
    │ @subteam^S0123
    │ compile error: pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │    97  + make build-controller
    │    98  go build -tags codegen -o bin/controller ./cmd/controller
    │    99  # github.com/aws-controllers-k8s/lambda-controller/pkg/resource/function
    │ → 100  pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │   101   pkg/resource/function/sdk.go:119:2: too many errors
    │   102  make: *** [Makefile:55: build-controller] Error 1
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
    │ Log line 100: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1#1:build-log.txt%3A100
    │ Compare: https://github.com/o/r/compare/v1.4.3...v1.4.4
    │ Why this message?: https://notifier.example.org/runs/lambda-run-1
    └ id:1a2b3c4d
    ");
}

#[test]
fn a_pod_out_of_memory_keeps_prows_words_beside_the_reason() {
    let mut item = item("lambda", "v1.4.4");
    let mut evidence = compile();
    evidence.class = CauseClass::OutOfMemory;
    evidence.headline = "container test was killed".to_owned();
    evidence.excerpt = None;
    item.evidence = Some(evidence);
    let shown = seen(&notification(Event::Opened, vec![item]));
    assert!(shown.contains("the pod did not start in time"), "{shown}");
    assert!(
        shown.contains("│ out of memory: container test was killed\n"),
        "{shown}"
    );
}

#[test]
fn without_a_reason_the_message_says_why_there_is_none() {
    let mut item = broken("lambda");
    item.evidence = None;
    item.log_link = None;
    item.evidence_note = Some("the log could not be read: 403 from <s3>".to_owned());
    for items in [vec![item.clone()], vec![item.clone(), item.clone()]] {
        let opened = notification(Event::Opened, items);
        let shown = seen(&opened);
        let footer = shown.lines().last().unwrap();
        assert!(
            footer.contains("the log could not be read: 403 from <s3>  ·  "),
            "{shown}"
        );
        let plain = preview_text(&render_plain(&opened, &look()));
        assert!(plain.contains("could not be read"), "{plain}");
    }
    let shown = seen(&notification(Event::Opened, vec![item, broken("s3")]));
    assert!(!shown.contains("could not be read"), "{shown}");
}

#[test]
fn one_cause_of_many_is_shown_once() {
    let mut items = ["dynamodb", "lambda", "s3"].map(broken);
    // The log of the first is not read yet, the line of the last names another file.
    items[0].evidence = None;
    if let Some(evidence) = &mut items[2].evidence {
        evidence.headline = evidence.headline.replace("function", "bucket");
    }
    let shared = notification(Event::SharedCause, items.to_vec());
    insta::assert_snapshot!(seen(&shared), @r"
    ┌ 🔴 publish fails in 3 services
    │ @subteam^S0123
    │ Failing since: 2026-05-19 20:35 UTC, critical
    │ compile error: pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │    97  + make build-controller
    │    98  go build -tags codegen -o bin/controller ./cmd/controller
    │    99  # github.com/aws-controllers-k8s/lambda-controller/pkg/resource/function
    │ → 100  pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │   101   pkg/resource/function/sdk.go:119:2: too many errors
    │   102  make: *** [Makefile:55: build-controller] Error 1
    │ • dynamodb v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/dynamodb/1
    │ • lambda v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1
    │ • s3 v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
}

#[test]
fn different_causes_are_told_line_by_line() {
    let mut items = ["lambda", "s3"].map(broken);
    items[1].evidence = Some(Evidence {
        class: CauseClass::Auth,
        headline: "denied: no basic auth credentials".to_owned(),
        signature: Some(Signature("v1:00000000000000000002".to_owned())),
        ..compile()
    });
    let shared = notification(Event::SharedCause, items.to_vec());
    insta::assert_snapshot!(seen(&shared), @r"
    ┌ 🔴 publish fails in 2 services
    │ @subteam^S0123
    │ Failing since: 2026-05-19 20:35 UTC, critical
    │ • lambda v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/lambda/1 – compile error: pkg/resource/function/sdk.go:112:34: undefined: svcsdktypes.'Mx' & <Central>
    │ • s3 v1.4.4 Run: https://prow.ack.aws.dev/view/gs/b/logs/s3/1 – not authorised: denied: no basic auth credentials
    └ 2026-05-19 20:35 UTC  ·  id:1a2b3c4d
    ");
}

#[test]
fn a_recovery_names_the_reason_and_shows_no_log() {
    let shown = seen(&notification(
        Event::Recovered,
        vec![recovered(broken("lambda"), "v1.4.5")],
    ));
    assert!(shown.contains("│ compile error: pkg/resource"), "{shown}");
    assert!(!shown.contains("make build-controller"), "{shown}");
}

#[test]
fn the_deciding_line_is_always_among_those_shown() {
    let long = "é<".repeat(400);
    for count in [2, 12, 13, 40] {
        for deciding in 0..count {
            for text in ["x", long.as_str()] {
                let lines: Vec<String> = (0..count).map(|n| format!("{n} {text}")).collect();
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                for from in [None, Some(20_000)] {
                    let mut item = broken("lambda");
                    item.evidence = Some(Evidence {
                        excerpt: Some(excerpt(&lines, deciding, from)),
                        ..compile()
                    });
                    let shown = seen(&notification(Event::Opened, vec![item]));
                    let code: Vec<&str> = shown
                        .lines()
                        .skip_while(|line| !line.starts_with("│ compile error"))
                        .skip(1)
                        .take_while(|line| !line.starts_with("│ Controller"))
                        .collect();
                    assert!((2..=12).contains(&code.len()), "{shown}");
                    let length: usize = code.iter().map(|line| line.chars().count()).sum();
                    assert!(length <= 1_300, "{length}");
                    let marked = code.iter().filter(|line| line.starts_with("│ → "));
                    let marked: Vec<_> = marked.collect();
                    assert_eq!(marked.len(), 1, "{shown}");
                    assert!(marked[0].contains(&format!("{deciding} ")), "{shown}");
                }
            }
        }
    }
}

#[test]
fn nothing_in_a_log_closes_its_code_block() {
    let lines = [
        "```",
        "` <!channel> ```\u{202e}",
        "</a> &amp; \u{1b}[31m",
        "*x*",
    ];
    let mut item = broken("lambda");
    item.evidence = Some(Evidence {
        excerpt: Some(excerpt(&lines, 1, None)),
        ..compile()
    });
    let opened = notification(Event::Opened, vec![item]);
    seen(&opened);
    let shown = render(&opened, &look()).to_string();
    assert_eq!(shown.matches("```").count(), 2);
    assert!(!shown.contains("<!channel>"));
}

#[test]
fn only_a_line_of_a_log_on_a_plain_page_is_linked() {
    let page = "https://prow.ack.aws.dev/view/s3/b/logs/j/1";
    let with = |file: &str, number: Option<u64>| {
        let mut evidence = compile();
        let mut lines = excerpt(&["x"], 0, number);
        file.clone_into(&mut lines.file);
        evidence.excerpt = Some(lines);
        evidence
    };
    for (url, evidence, linked) in [
        (
            page,
            with("build-log.txt", Some(57)),
            Some("#1:build-log.txt%3A57"),
        ),
        (
            page,
            with("test-build-log.txt", Some(5)),
            Some("#1:test-build-log.txt%3A5"),
        ),
        (page, with("build-log.txt", None), None),
        (page, with("artifacts/junit.xml", Some(1)), None),
        (page, with("a|b>build-log.txt", Some(1)), None),
        (
            "https://b.s3.amazonaws.com/l?X-Amz-Signature=1",
            with("build-log.txt", Some(5)),
            None,
        ),
        ("file:///x", with("build-log.txt", Some(5)), None),
    ] {
        let url = log_link(url, &evidence).map(|link| link.url);
        assert_eq!(url, linked.map(|fragment| format!("{page}{fragment}")));
    }
}
