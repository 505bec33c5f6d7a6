//! Every page in every state, with names from outside that try to be markup.

mod states;

use serde_json::{Value, json};

use super::render;

const HOSTILE: &str = "<script>alert('x')</script>\"onload=x";

fn age(stale: bool) -> Value {
    json!({ "now": "2026-05-19T20:36:00Z", "as_of": "2026-05-19T20:35:00Z", "data_age_s": 60, "stale": stale })
}

fn share(count: usize, n: usize) -> Value {
    serde_json::to_value(crate::board::trends::Share::of(count, n)).unwrap()
}

/// Renders, and checks what holds of every page.
fn shown(template: &str, data: &Value) -> String {
    let html = render(template, data).unwrap_or_else(|error| panic!("{template}: {error:#}"));
    for forbidden in ["style=", "<script>", "\"onload=x", "javascript:", "NaN"] {
        assert!(
            !html.contains(forbidden),
            "{template} has {forbidden}: {html}"
        );
    }
    let scripts = html.matches("<script ").count();
    assert_eq!(
        scripts,
        html.matches("></script>").count(),
        "{template} has a script with a body"
    );
    html
}

fn with(mut data: Value, changes: Value) -> Value {
    let (Some(fields), Value::Object(changes)) = (data.as_object_mut(), changes) else {
        panic!("objects");
    };
    fields.extend(changes);
    data
}

fn figures(n: usize) -> Value {
    json!({
        "success": share(n, n), "first_try": share(n / 2, n), "in_flight": 1, "lead_p50_s": 3600, "lead_p90_s": 7200,
        "incidents": n, "open": 1, "open_at_least_s": 60, "detection_p95_s": 2, "mttd_p50_s": 3, "mttd_p90_s": 4,
        "mttd_mean_s": 3, "mtta_p50_s": null, "mttr_p50_s": null, "reruns": 1, "stopped": 2, "by_hand": 3,
        "interventions": 6, "retry_tax_percent": 2.5, "soft_failed": 1, "messages_per_incident": 1.5, "messages": 3,
        "infra": share(1, n), "runs_passed": share(n, n), "runs_passed_without_infra": share(n, n),
    })
}

fn trends() -> Value {
    let week = with(
        figures(3),
        json!({ "from": "2026-05-11T00:00:00Z", "partial": true }),
    );
    let next = with(
        figures(0),
        json!({ "from": "2026-05-18T00:00:00Z", "partial": false }),
    );
    let job = json!({
        "job": format!("postsubmit|o|r|{HOSTILE}|tag"), "name": HOSTILE, "owner": HOSTILE, "stage": HOSTILE,
    });
    let failing = json!({ "failed": share(3, 9), "infra": 1, "lately": share(2, 5), "before": share(30, 30), "worse": true });
    let sick = json!({ "state": "flaky", "sentence": "flaky: failed 3 of its last 9 runs", "confidence": "low" });
    json!({
        "data": age(false), "days": 90, "service": null, "services": ["s3", HOSTILE], "total": figures(3),
        "change": "No significant change: ...", "weeks": [week, next],
        "by_service": [{ "service": HOSTILE, "success": share(1, 2), "first_try": share(0, 2), "lead_p50_s": 60,
            "lead_p90_s": null, "interventions": 2, "last_good_age_s": null }],
        "failing": [with(job.clone(), failing)], "sick": [with(job, sick)], "sick_total": 4,
        "conservation": { "accepted": 3, "decided": 2, "waiting": 1, "set_aside": 0, "holds": true,
            "decisions": { "notify": 2, "stale": 0 } },
    })
}

#[test]
fn trends_show_numbers_with_what_they_rest_on() {
    let html = shown("trends.html", &trends());
    assert!(
        html.contains("100 % <span class=\"quiet\">n=3, 44 to 100 %"),
        "{html}"
    );
    assert!(
        html.contains("significantly worse:") && html.contains("3 more."),
        "{html}"
    );
    assert!(
        html.contains("3 accepted = 2 decided + 1 waiting + 0 set aside")
            && html.contains("adds up")
    );
    assert_eq!(html.matches("<svg class=\"chart\"").count(), 6);
    let stale = shown(
        "trends.html",
        &with(trends(), json!({ "data": age(true), "service": HOSTILE })),
    );
    assert!(stale.contains("Stale: nothing was heard"), "{stale}");
}

#[test]
fn trends_of_nothing_say_so() {
    let nothing = json!({
        "total": figures(0), "weeks": [], "by_service": [], "failing": [], "sick": [], "sick_total": 0,
        "data": { "now": "2026-05-19T20:36:00Z", "as_of": null, "data_age_s": null, "stale": true },
    });
    let lost = json!({ "accepted": 3, "decided": 1, "waiting": 1, "set_aside": 0, "holds": false, "decisions": {} });
    let html = shown(
        "trends.html",
        &with(with(trends(), nothing), json!({ "conservation": lost })),
    );
    assert!(
        html.contains("Nothing has ended in this time") && !html.contains("<svg class=\"chart\""),
        "{html}"
    );
    assert!(html.contains("does not add up"), "{html}");
}

fn job() -> Value {
    let took = |state: &str, ran_s: u32, slow: bool| json!({ "run": HOSTILE, "state": state, "at_s": 1_779_000_000 + i64::from(ran_s), "ran_s": ran_s, "queued_s": null, "slow": slow });
    let link = |base_ref: &str| json!({ "run": "r1", "at": "2026-05-18T20:35:00Z", "base_ref": base_ref, "sha": "0123456789" });
    json!({
        "data": age(false), "key": format!("postsubmit|o|r|{HOSTILE}|tag"), "name": HOSTILE, "kind": "postsubmit",
        "repository": HOSTILE, "ref_class": "branch:main", "service": "s3", "owner": HOSTILE, "stage": "publish",
        "state": "flaky", "sentence": "flaky: failed 1 of its last 2 runs", "confidence": "low",
        "strip": [{ "run": HOSTILE, "state": "failing", "at_ms": 1_779_000_000_000_i64 }],
        "passed": share(1, 3), "passed_without_infra": share(1, 2),
        "reasons": [{ "signature": "v1:0123", "class": "compile error", "headline": HOSTILE, "runs": 2, "run": HOSTILE }],
        "durations": [took("healthy", 100, false), took("healthy", 9000, true), took("infra", 5, false)],
        "usual": { "median_s": 100, "slow_from_s": 220, "overdue_from_s": 300, "shift": "Its last 10 ..." },
        "under_way": [
            { "run": "r2", "base_ref": HOSTILE, "for_s": 9000, "queued": false, "overdue": true },
            { "run": "r3", "base_ref": "", "for_s": 90, "queued": true, "overdue": false },
        ],
        "last_good": link(HOSTILE), "first_bad": link(""),
        "links": [{ "label": "Compare", "url": "https://github.com/o/r/compare/a...b" }],
    })
}

#[test]
fn a_job_shows_how_it_fares_and_why() {
    let html = shown("job.html", &job());
    assert!(
        html.contains("n=3, 6 to 79 %") && html.contains("without infrastructure"),
        "{html}"
    );
    assert!(
        html.contains("far longer than usual") && html.contains("slow from 3 min on"),
        "{html}"
    );
    assert!(
        html.contains("/e/v1%3A0123") && html.contains("what changed since"),
        "{html}"
    );
}

#[test]
fn a_job_without_ended_runs_says_so() {
    let nothing = json!({
        "strip": [], "reasons": [], "durations": [], "usual": null, "under_way": [], "last_good": null,
        "first_bad": null, "links": [], "passed": share(0, 0), "passed_without_infra": share(0, 0), "state": "unknown",
        "data": age(true),
    });
    let html = shown("job.html", &with(job(), nothing));
    assert!(
        html.contains("No run of this job has ended yet") && html.contains("Stale"),
        "{html}"
    );
}

fn run() -> Value {
    json!({
        "data": age(false), "name": HOSTILE, "state": "failing", "happened": true, "told": true,
        "answer": "platform was told at 20:31:00 UTC on 19 May (opened): first failure.", "job_name": HOSTILE,
        "job": "postsubmit|o|r|j|tag", "owner": "s3", "service": "s3", "version": "1.2.3", "is_release": true, "stage": "publish",
        "base_ref": HOSTILE, "prow_state": "failure", "verdict": "fail", "started_at": "2026-05-19T20:00:00Z",
        "finished_at": "2026-05-19T20:30:00Z", "took_s": 1800,
        "hands": [{ "at": "2026-05-19T20:29:00Z", "what": format!("{HOSTILE} asked to run it again"), "run": HOSTILE }],
        "reason": { "title": "compile error", "headline": HOSTILE, "rule": "go-compile", "signature": "v1:0123",
            "file": "build-log.txt", "location": "s3://logs/1", "read_at": "2026-05-19T20:30:05Z", "attempts": 2,
            "again_at": "2026-05-19T20:40:00Z", "lines": [
                { "number": 9, "text": HOSTILE, "deciding": false },
                { "number": null, "text": "a.go:1:2: undefined: x", "deciding": true },
            ] },
        "links": [{ "label": "Log line 10", "url": "https://deck/view/1#1:build-log.txt%3A10" }],
        "decisions": [{ "at": "2026-05-19T20:30:01Z", "source": "deck", "verdict": "fail", "decision": "notify",
            "reason": HOSTILE, "rule": null, "receivers": ["platform"] }],
        "incidents": [
            { "id": 7, "state": "blocked", "since": "2026-05-19T20:30:00Z", "until": null, "failures": 2, "first": "r1", "latest": "r2",
                "closed_by": null, "what": HOSTILE },
            { "id": 6, "state": "failing", "since": "2026-05-18T20:30:00Z", "until": "2026-05-18T21:30:00Z", "failures": 1, "first": "r0",
                "latest": "r0", "closed_by": "r1", "what": "the job failed" },
        ],
        "messages": [{ "id": "0123abcd", "event": "opened", "at": "2026-05-19T20:30:02Z", "receiver": HOSTILE,
            "deliveries": [format!("{HOSTILE}: sent")] }],
        "same_error_in": 1,
        "same_error": [{ "run": "r9", "at": "2026-05-18T20:30:00Z", "state": "failing", "job": "j", "name": "j",
            "owner": null, "stage": null, "base_ref": HOSTILE }],
    })
}

#[test]
fn a_run_answers_first_and_shows_the_deciding_line() {
    let html = shown("run.html", &run());
    let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}: {html}"));
    assert!(place("platform was told at") < place("Log line 10"));
    assert!(place("Log line 10") < place("class=\"deciding\""));
    assert!(place("class=\"deciding\"") < place("What was decided"));
    assert!(html.contains("in 1 other service<"), "{html}");
    assert!(html.contains("asked to run it again"), "{html}");
}

#[test]
fn a_run_of_which_little_is_known_shows_that() {
    let little = json!({
        "data": age(true), "told": false, "job": null, "job_name": "", "owner": null, "service": null, "version": null, "is_release": false,
        "stage": null, "base_ref": "", "prow_state": null, "verdict": null, "started_at": null, "finished_at": null,
        "took_s": null, "hands": [], "reason": null, "links": [], "decisions": [], "incidents": [], "messages": [], "same_error": [],
        "same_error_in": 0, "state": "unknown",
    });
    let html = shown("run.html", &with(run(), little));
    assert!(
        !html.contains("What was done to it")
            && html.contains("Nothing was decided")
            && html.contains("No log was read"),
        "{html}"
    );
}

fn error() -> Value {
    let mut days = vec![0; 30];
    (days[3], days[4], days[29]) = (1, 12, 140);
    json!({
        "data": age(false), "signature": "v1:0123", "class": "registry refused", "headline": HOSTILE, "template": HOSTILE,
        "rule": "registry", "count": 153, "first_at": "2026-05-01T00:00:00Z", "last_at": "2026-05-19T20:00:00Z",
        "owners": 1, "capped": true, "map_from": "2026-04-20T00:00:00Z",
        "map": [{ "owner": HOSTILE, "count": 153, "days": days }],
        "runs": [{ "run": HOSTILE, "at": "2026-05-19T20:00:00Z", "state": "infra", "job": "j", "name": HOSTILE,
            "owner": HOSTILE, "stage": "publish", "base_ref": "" }],
    })
}

#[test]
fn an_error_shows_who_had_it_when() {
    let html = shown("signature.html", &error());
    assert!(
        html.contains("in one service")
            && html.contains("∞")
            && html.contains("Only the last 2000"),
        "{html}"
    );
    let gone = json!({ "map": [], "runs": [], "owners": 0, "capped": false, "rule": null, "count": 1, "data": age(true) });
    let html = shown("signature.html", &with(error(), gone));
    assert!(
        html.contains("Nobody had it in the last 30 days") && html.contains("Found 1 time,"),
        "{html}"
    );
}

fn open(id: u64, root: Option<u64>) -> Value {
    json!({
        "id": id, "state": "blocked", "kind": "failing", "service": HOSTILE, "version": "1.2.3", "is_version": true, "is_release": true, "stage": HOSTILE,
        "since": "2026-05-19T18:36:00Z", "age_s": 7200, "what": HOSTILE, "reason": "compile error",
        "signature": "v1:0123", "failures": 2, "run": HOSTILE, "job": HOSTILE, "told": ["platform", HOSTILE],
        "held_back_by": [HOSTILE], "ask": HOSTILE, "blocks": ["umbrella"], "root": root, "last_good": "v1.2.2",
        "links": [{ "label": HOSTILE, "url": "https://prow.example.com/view" }],
    })
}

fn counters(services: u64) -> Value {
    let states = crate::board::glyph::State::ALL.into_iter();
    states
        .map(|state| json!({ "state": state, "services": services }))
        .collect()
}

#[test]
fn the_first_page_is_whole_with_nothing_one_and_many() {
    let now = |open: Vec<Value>, stale: bool| {
        let data =
            json!({ "data": age(stale), "counters": counters(open.len() as u64), "open": open });
        shown("now.html", &data)
    };
    assert!(now(Vec::new(), false).contains("Nothing is broken."));
    let old = now(Vec::new(), true);
    assert!(
        old.contains("this may be old news") && !old.contains("Nothing is broken."),
        "{old}"
    );
    let one = now(vec![open(1, None)], false);
    assert!(
        one.contains("blocks umbrella") && one.contains("last good v1.2.2"),
        "{one}"
    );
    assert!(one.contains("href=\"#incident-1\" data-copy"), "{one}");
    assert!(one.contains("held back by"), "{one}");
    let mut bare = with(
        open(2, None),
        json!({ "reason": null, "signature": null, "told": [], "held_back_by": [], "ask": null }),
    );
    bare = with(
        bare,
        json!({ "blocks": [], "last_good": null, "links": [], "is_version": false, "is_release": false, "version": "" }),
    );
    let many: Vec<Value> = (3..40).map(|id| open(id, Some(1))).collect();
    let many = now([vec![open(1, None), bare], many].concat(), true);
    assert!(many.contains("nobody was told") && many.contains("because of incident 1"));
    assert_eq!(many.matches("class=\"incident ").count(), 39);
}

fn service(state: &str, full: bool) -> Value {
    let mut stages = Vec::new();
    let mut strip = Vec::new();
    if full {
        for state in crate::board::glyph::State::ALL {
            stages.push(json!({ "name": HOSTILE, "state": state, "run": HOSTILE }));
            strip.push(json!({ "run": HOSTILE, "state": state, "at_ms": 1_779_000_000_000_i64 }));
        }
    }
    let some = |value: Value| if full { value } else { Value::Null };
    json!({
        "name": HOSTILE, "state": state, "since": some(json!("2026-05-19T18:36:00Z")), "current": some(json!(HOSTILE)),
        "last_good_at": some(json!("2026-05-18T18:36:00Z")), "last_good_age_s": some(json!(90_000)),
        "target": some(json!(HOSTILE)), "stages": stages, "strip": strip, "jobs": { "healthy": 2 },
        "releases": if full { 3 } else { 0 }, "first_try": 2,
    })
}

#[test]
fn services_are_listed_in_every_state_or_it_is_said_why_none_is() {
    let page = |services: Vec<Value>, all: usize, filter: Value, stale: bool| {
        let data = json!({ "data": age(stale), "services": services, "counters": counters(1), "filter": filter, "all": all });
        shown("services.html", &data)
    };
    let no_filter = json!({ "state": null, "named": null });
    let states = crate::board::glyph::State::ALL;
    let rows: Vec<Value> = states
        .into_iter()
        .flat_map(|state| {
            [
                service(state.as_str(), true),
                service(state.as_str(), false),
            ]
        })
        .collect();
    let full = page(rows, 24, no_filter.clone(), true);
    assert_eq!(full.matches("<tr data-row").count(), 24);
    for state in states {
        assert!(full.contains(state.glyph().word), "{}", state.as_str());
    }
    assert!(full.contains("never seen") && full.contains("Stale: nothing was heard"));
    let none = page(Vec::new(), 0, no_filter, false);
    assert!(none.contains("No service has been seen yet"), "{none}");
    let filtered = page(
        Vec::new(),
        3,
        json!({ "state": "stalled", "named": HOSTILE }),
        false,
    );
    assert!(
        filtered.contains("is stalled now") && filtered.contains("All 3"),
        "{filtered}"
    );
}

#[test]
fn a_page_that_leads_on_escapes_where_to() {
    let html = shown(
        "bounce.html",
        &json!({ "to": "/\"><script>alert(1)</script>" }),
    );
    assert!(!html.contains("<script>alert"), "{html}");
    let html = shown(
        "error.html",
        &json!({ "title": HOSTILE, "advice": HOSTILE }),
    );
    assert!(html.contains("&lt;script&gt;"), "{html}");
}

#[test]
fn scripts_of_a_page_stay_small() {
    use std::io::Write as _;
    let scripts = [
        include_str!("../assets/board.js"),
        include_str!("../assets/charts.js"),
        include_str!("../assets/uplot/uPlot.iife.min.js"),
    ];
    let packed = scripts.iter().map(|script| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(script.as_bytes()).unwrap();
        gzip.finish().unwrap().len()
    });
    let all: usize = packed.sum();
    assert!(all <= 30 << 10, "{all} bytes of script");
}
