//! States of pages that are rare, each with the words by which a person tells it from the others.

mod telling;

use serde_json::{Value, json};

use super::{HOSTILE, age, counters, error, figures, job, open, run, share, shown, trends, with};

/// What a page says in a state, and what it must not say then.
struct Case {
    /// The state, for whoever reads that it failed.
    state: &'static str,
    template: &'static str,
    data: Value,
    says: &'static [&'static str],
    never: &'static [&'static str],
}

fn case(
    template: &'static str,
    state: &'static str,
    data: Value,
    says: &'static [&'static str],
    never: &'static [&'static str],
) -> Case {
    Case {
        state,
        template,
        data,
        says,
        never,
    }
}

fn check(cases: Vec<Case>) {
    for case in cases {
        let html = shown(case.template, &case.data);
        let place = format!("{} {}", case.template, case.state);
        for says in case.says {
            assert!(html.contains(says), "{place} does not say {says}: {html}");
        }
        for never in case.never {
            assert!(!html.contains(never), "{place} says {never}: {html}");
        }
    }
}

/// Of a source that never told anything.
fn nothing_heard() -> Value {
    json!({ "now": "2026-05-19T20:36:00Z", "as_of": null, "data_age_s": null, "stale": true })
}

fn link(label: &str) -> Value {
    json!({ "label": label, "url": "https://github.com/o/r/compare/a...b" })
}

fn now(open: &Value, data: &Value) -> Value {
    json!({ "data": data, "counters": counters(1), "open": open })
}

#[test]
fn the_first_page_names_the_way_from_good_to_bad_for_each_incident() {
    let root = with(
        open(1, None),
        json!({ "links": [link("Compare"), link("Run")] }),
    );
    let behind = with(open(2, Some(1)), json!({ "links": [link("Compare")] }));
    let stalled = json!({ "state": "stalled", "last_good": null, "reason": null, "signature": null,
        "blocks": [], "links": [link("After")] });
    let stalled = with(open(3, None), stalled);
    let alone = with(open(4, Some(99)), json!({ "last_good": null, "links": [] }));
    check(vec![
        case(
            "now.html",
            "root",
            now(&json!([root]), &age(false)),
            &[
                "last good v1.2.2: <a href=\"https:",
                ">what changed since</a>",
                ">Run</a>",
            ],
            &["because of", ">Compare</a>"],
        ),
        case(
            "now.html",
            "behind its root",
            now(&json!([root, behind]), &age(false)),
            &["because of &lt;script&gt;", "href=\"#incident-1\" title="],
            &["because of incident"],
        ),
        case(
            "now.html",
            "stalled",
            now(&json!([stalled]), &age(false)),
            &[
                "⇥</span> stalled",
                "no good run was seen",
                ">the run before it</a>",
            ],
            &["same error elsewhere", ">After<"],
        ),
        case(
            "now.html",
            "behind what is over",
            now(&json!([alone]), &age(true)),
            &["because of incident 99", "Stale: nothing was heard"],
            &["this may be old news"],
        ),
        case(
            "now.html",
            "before the first news",
            now(&json!([]), &nothing_heard()),
            &["No source has told anything yet", "this may be old news"],
            &["Nothing is broken."],
        ),
    ]);
}

#[test]
fn a_page_says_who_looks_at_it() {
    let visit = |person: Value, may: bool| {
        let visit = json!({ "person": person, "may_log_in": may, "here": "/?a=\"b" });
        with(now(&json!([]), &age(false)), json!({ "visit": visit }))
    };
    check(vec![
        case(
            "now.html",
            "for somebody known",
            visit(json!(HOSTILE), true),
            &["You are", "href=\"/login\""],
            &["Log in"],
        ),
        case(
            "now.html",
            "for whom a proxy names",
            visit(json!("jane"), false),
            &["You are </span>jane"],
            &["href=\"/login"],
        ),
        case(
            "now.html",
            "for anybody",
            visit(Value::Null, true),
            &[">Log in</a>", "next=%2F%3Fa%3D%22b"],
            &["You are"],
        ),
        case(
            "now.html",
            "where nobody logs in",
            visit(Value::Null, false),
            &["Link to this page"],
            &["Log in", "You are"],
        ),
        case(
            "login.html",
            "open",
            json!({ "next": "/", "may": true, "problem": null }),
            &["type=\"password\"", "Log out", "If a link brought you here"],
            &["role=\"alert\""],
        ),
        case(
            "login.html",
            "refused",
            json!({ "next": HOSTILE, "may": true, "problem": HOSTILE }),
            &["role=\"alert\""],
            &[],
        ),
        case(
            "login.html",
            "without tokens",
            json!({ "next": "/", "may": false, "problem": null }),
            &["There are no tokens to log in with"],
            &["<form"],
        ),
    ]);
}

#[test]
fn a_run_says_whether_it_ever_was_and_how_far_it_is() {
    let never = json!({ "happened": false, "state": "stalled", "job_name": "", "job": null, "base_ref": "",
        "reason": null, "decisions": [], "prow_state": null, "verdict": null, "started_at": null, "finished_at": null,
        "links": [link("After")], "same_error": [], "same_error_in": 0,
        "incidents": [{ "id": 7, "state": "stalled", "since": "2026-05-19T20:30:00Z", "until": null, "failures": 1,
            "first": "stalled|a", "latest": "stalled|a", "closed_by": null, "what": "publish did not start" }] });
    let over = json!({ "happened": false, "state": "healthy", "owner": null, "stage": null, "decisions": [], "reason": null,
        "incidents": [{ "id": 7, "state": "stalled", "since": "2026-05-19T20:30:00Z", "until": "2026-05-19T21:30:00Z",
            "failures": 1, "first": "r", "latest": "r", "closed_by": null, "what": "publish did not start" }] });
    let under_way = json!({ "state": "running", "finished_at": null, "took_s": null, "told": false, "verdict": "running",
        "reason": null, "incidents": [], "messages": [], "links": [] });
    let soft = json!({ "state": "soft-fail", "same_error_in": 0,
        "reason": { "title": "green, yet it did not do its work", "headline": HOSTILE, "rule": null, "signature": null,
            "file": null, "location": null, "read_at": "2026-05-19T20:30:05Z", "attempts": 1, "again_at": null, "lines": [] } });
    check(vec![
        case(
            "run.html",
            "that never was",
            with(run(), never),
            &[
                "⇥</span> stalled",
                "No run stands behind this",
                "s3 publish",
                ">the run before it</a>",
                "did not start: from",
            ],
            &[
                "Why it ended so",
                "What was decided",
                "bad run",
                "✗</span> failing",
            ],
        ),
        case(
            "run.html",
            "that never was and was caught up with",
            with(run(), over),
            &["✓</span> good", "Everywhere", "to 2026-05-19 21:30 UTC"],
            &[", open"],
        ),
        case(
            "run.html",
            "under way",
            with(run(), under_way),
            &[
                "◐</span> running",
                "began 2026-05-19 20:00 UTC, not over",
                "No log was read",
            ],
            &["answer told", "<h2>Messages"],
        ),
        case(
            "run.html",
            "green without its work",
            with(run(), soft),
            &["≠</span> green, not done", "The same error before"],
            &["class=\"deciding\"", "· rule"],
        ),
        case(
            "run.html",
            "stale",
            with(run(), json!({ "data": age(true) })),
            &["What is green may be red by now"],
            &[],
        ),
    ]);
}

#[test]
fn a_job_says_its_state_once_and_shows_what_is_there() {
    let broken = json!({ "state": "failing", "sentence": "broken: failed 3 times in a row", "usual": null, "reasons": [],
        "owner": null, "stage": null, "links": [link("Compare")] });
    let healthy = json!({ "state": "healthy", "sentence": "healthy: 9 of its last 9 runs passed", "reasons": [],
        "under_way": [], "first_bad": null, "links": [], "passed": share(9, 9), "passed_without_infra": share(9, 9) });
    let once = json!({ "state": "failing", "sentence": "failing: its only run failed", "last_good": null, "links": [] });
    check(vec![
        case(
            "job.html",
            "broken",
            with(job(), broken),
            &[
                "✗</span> failing</span> broken: failed 3 times",
                "Too few good runs",
                "what changed since the last good run",
            ],
            &["Why it fails", "· stage", "the broken line"],
        ),
        case(
            "job.html",
            "healthy",
            with(job(), healthy),
            &["Passed 100 %", "last good"],
            &["first bad", "without infrastructure", "overdue</"],
        ),
        case(
            "job.html",
            "seen once",
            with(job(), once),
            &["failing</span> its only run failed", "first bad"],
            &["last good", "→"],
        ),
        case(
            "trends.html",
            "with a flaky job",
            trends(),
            &["~</span> flaky</span></td><td>failed 3 of its last 9"],
            &["flaky: failed"],
        ),
    ]);
}

#[test]
fn trends_and_errors_say_what_they_are_about() {
    let of_one = json!({ "service": "s3", "days": 30, "sick_total": 1, "by_service": [] });
    let calm = with(
        figures(3),
        json!({ "in_flight": 0, "open": 0, "open_at_least_s": null, "lead_p90_s": null }),
    );
    check(vec![
        case(
            "trends.html",
            "of one service",
            with(trends(), of_one),
            &[
                "Trends of <a href=\"/s/s3\">s3</a>",
                "<option value=\"30\" selected>",
                "&amp;days=30&amp;service=s3",
            ],
            &["more.</p>", "by-service"],
        ),
        case(
            "trends.html",
            "with nothing open",
            with(trends(), json!({ "total": calm })),
            &["open ones counted<", "90 % within –", "3 in time<"],
            &["still on their way"],
        ),
        case(
            "trends.html",
            "before the first news",
            with(trends(), json!({ "data": nothing_heard() })),
            &["No source has told anything yet"],
            &[],
        ),
        case(
            "signature.html",
            "of many services",
            with(error(), json!({ "owners": 3, "capped": false })),
            &["in 3 services", "Found 153 times"],
            &["Only the last 2000"],
        ),
    ]);
}

#[test]
fn the_wall_names_whom_it_has_no_line_for() {
    let wall = |blocked: Value, more: u64, rest: Value, data: Value| {
        json!({ "data": data, "counters": counters(2),
        "blocked": blocked, "more": more, "rest": rest })
    };
    let late = with(
        open(1, None),
        json!({ "state": "stalled", "reason": null, "version": "" }),
    );
    check(vec![
        case(
            "wall.html",
            "with more",
            wall(json!([late]), 3, json!(["kms", HOSTILE]), age(false)),
            &["⇥</span> stalled", "and 3 more: kms, &lt;script"],
            &["class=\"version\""],
        ),
        case(
            "wall.html",
            "with all",
            wall(json!([open(1, None)]), 0, json!([]), age(true)),
            &["✗</span> blocked", "Stale: nothing was heard"],
            &["more:"],
        ),
    ]);
}
