//! `preview` as a command: the right answer for each recorded run, in every form, from every form of input.

mod reasons;
mod sources;

use std::{collections::BTreeMap, fs, path::PathBuf};

use insta::assert_snapshot;
use prow_notifier::slack::limits;
use serde_json::Value;

use crate::program::{Program, program, repository};

/// Every key of a line, in order.
const KEYS: [&str; 17] = [
    "run",
    "job",
    "org",
    "repo",
    "ref",
    "state",
    "verdict",
    "rule",
    "service",
    "controller",
    "component",
    "stage",
    "severity",
    "decision",
    "reason",
    "receivers",
    "message",
];

fn preview(args: &[&str]) -> Program {
    program(&["preview"]).args(args).config("config/ack.yaml")
}

fn json(args: &[&str]) -> Vec<Value> {
    read(&preview(args).args(["--format", "json"]).run().ok())
}

fn read(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn data(name: &str) -> PathBuf {
    repository("tests/data/prow").join(name)
}

fn runs_32() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(data("prowjobs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 32);
    files
}

/// What tells runs apart in the recorded data.
fn short(line: &Value) -> String {
    line["run"].as_str().unwrap().chars().take(8).collect()
}

/// The keys of a line as they stand.
fn keys(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(key) = KEYS.get(found.len()) {
        let (_, after) = rest.split_once(&format!("\"{key}\":")).unwrap();
        found.push((*key).to_owned());
        rest = after;
    }
    found
}

fn table(lines: &[Value]) -> String {
    let columns = [
        "state", "verdict", "rule", "service", "stage", "severity", "decision",
    ];
    let widths = [10, 16, 22, 7, 22, 12, 12];
    let row = |line: &Value| {
        let cells = columns.iter().zip(widths).map(|(column, width)| {
            let text = line[*column].as_str().unwrap_or("-");
            format!("{text:width$}")
        });
        let cells = cells.collect::<Vec<_>>().join(" ");
        format!("{} {}", short(line), cells.trim_end())
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_of_the_recorded_runs_gets_the_right_answer() {
    let out = preview(&["--format", "json"]).args(runs_32()).run().ok();
    assert_snapshot!(table(&read(&out)), @r"
    00000001 failure    fail             publish                s3      publish                critical     notify
    00000002 success    pass             olm-bundle             s3      olm-bundle             critical     not-failed
    00000003 failure    fail             umbrella-chart-update  s3      umbrella-chart-update  critical     notify
    00000004 success    pass             umbrella-chart-update  lambda  umbrella-chart-update  critical     recovered
    00000005 success    pass             publish                s3      publish                critical     recovered
    00000006 triggered  running          umbrella-chart-update  s3      umbrella-chart-update  critical     not-failed
    00000007 error      infra            release-tag            s3      release-tag            critical     notify
    00000008 error      infra            release-pr             s3      release-pr             critical     notify
    00000009 error      infra            publish                s3      publish                critical     deduplicated
    0000000a error      infra            publish                s3      publish                critical     deduplicated
    0000000b error      fail             umbrella-chart-publish -       umbrella-chart-publish critical     notify
    0000000c error      fail             umbrella-chart-publish -       umbrella-chart-publish critical     deduplicated
    0000000d aborted    fail             fleet-regenerate       -       fleet-regenerate       critical     notify
    0000000e aborted    aborted-by-human ci-images              -       ci-images              non-critical not-failed
    0000000f aborted    running          ci-images              -       ci-images              non-critical not-failed
    00000010 pending    running          publish                s3      publish                critical     not-failed
    00000011 scheduling running          publish                s3      publish                critical     not-failed
    00000012 failure    fail             housekeeping           -       housekeeping           non-critical notify
    00000013 failure    fail             security-scan          -       security-scan          non-critical notify
    00000014 failure    fail             presubmit              s3      presubmit              non-critical ignored
    00000015 failure    fail             presubmit              s3      presubmit              non-critical ignored
    00000016 failure    fail             -                      -       unclassified           non-critical unmatched
    00000017 failure    fail             -                      -       unclassified           non-critical unmatched
    00000018 failure    fail             -                      -       unclassified           non-critical unmatched
    00000019 error      infra            publish                s3      publish                critical     deduplicated
    0000001a error      infra            publish                s3      publish                critical     deduplicated
    0000001b error      infra            publish                s3      publish                critical     deduplicated
    0000001c failure    fail             -                      -       unclassified           non-critical unmatched
    0000001d failure    fail             -                      -       unclassified           non-critical unmatched
    0000001e failure    fail             -                      -       unclassified           non-critical unmatched
    0000001f failure    fail             -                      -       unclassified           non-critical unmatched
    00000020 failure    fail             -                      -       unclassified           non-critical unmatched
    ");
}

#[test]
fn decks_own_list_gets_the_same_answers() {
    let apart = read(&preview(&["--format", "json"]).args(runs_32()).run().ok());
    let apart: BTreeMap<String, Value> =
        apart.into_iter().map(|line| (short(&line), line)).collect();
    let listed = json(&["tests/data/prow/deck/prowjobs.json"]);
    // Deck hides one of them.
    assert_eq!(listed.len(), 31);
    for line in listed {
        assert_eq!(Some(&line), apart.get(&short(&line)));
    }
}

#[test]
fn json_is_one_object_per_run_in_order_of_input_with_exactly_the_promised_keys() {
    let out = preview(&["--format", "json", "tests/data/prow/deck/prowjobs.json"])
        .run()
        .ok();
    let body: Value =
        serde_json::from_slice(&fs::read(data("deck/prowjobs.json")).unwrap()).unwrap();
    let input: Vec<&str> = body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    let lines = read(&out);
    let output: Vec<&str> = lines
        .iter()
        .map(|line| line["run"].as_str().unwrap())
        .collect();
    assert_eq!(output, input);
    for (text, line) in out.lines().zip(&lines) {
        assert_eq!(keys(text), KEYS);
        assert_eq!(line.as_object().unwrap().len(), KEYS.len());
        // Nobody is configured to be told, and no name is made up.
        assert_eq!(line["receivers"], serde_json::json!([]));
    }
    let periodic = lines
        .iter()
        .find(|line| line["job"] == "label-sync")
        .unwrap();
    for key in ["org", "repo", "ref", "service", "controller"] {
        assert_eq!(periodic[key], Value::Null, "{key}");
    }
    assert_eq!(periodic["component"], "prow");
}

#[test]
fn receivers_are_concrete_and_messages_are_slack_payloads() {
    let out = preview(&["--format", "json", "--config", "config/teams"])
        .args(runs_32())
        .run()
        .ok();
    let lines = read(&out);
    let first = lines.first().unwrap();
    assert_eq!(
        first["receivers"],
        serde_json::json!(["by-service/s3", "platform"])
    );
    let ignored = lines
        .iter()
        .find(|line| line["decision"] == "ignored")
        .unwrap();
    assert_eq!(
        (&ignored["receivers"], &ignored["message"]),
        (&serde_json::json!([]), &Value::Null)
    );
    let mut messages = 0;
    for message in lines
        .iter()
        .map(|line| &line["message"])
        .filter(|message| !message.is_null())
    {
        messages += 1;
        assert_eq!(
            limits::violations(message, &["<!subteam^S0456EFGH>"]),
            Vec::<String>::new()
        );
    }
    assert!(messages > 5, "{messages}");
}

#[test]
fn slack_format_gives_payloads_that_slack_takes() {
    let out = preview(&["--format", "slack"]).args(runs_32()).run().ok();
    let payloads = read(&out);
    assert!(payloads.len() > 10, "{}", payloads.len());
    for payload in &payloads {
        assert_eq!(limits::violations(payload, &[]), Vec::<String>::new());
    }
}

#[test]
fn on_a_terminal_the_link_to_try_a_message_stands_behind_a_few_words() {
    let own = env!("CARGO_BIN_EXE_prow-notifier");
    let files = "tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json --config config/teams/platform.yaml";
    let on_terminal = |colours: &str| {
        let line = format!("env {colours} {own} preview --no-logs {files}");
        let output = std::process::Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = on_terminal("A=b");
    let (_, link) = shown.split_once("\u{1b}]8;;").unwrap();
    let (url, rest) = link.split_once("\u{1b}\\").unwrap();
    let begin = "https://app.slack.com/block-kit-builder#%7B%22blocks%22";
    assert!(url.starts_with(begin) && url.len() > 1000, "{url}");
    let label = "open in Slack's Block Kit Builder\u{1b}]8;;\u{1b}\\";
    assert!(rest.starts_with(label), "{rest}");
    let plain = on_terminal("NO_COLOR=1");
    assert!(
        plain.contains(begin) && !plain.contains('\u{1b}'),
        "{plain}"
    );
}

#[test]
fn text_shows_the_decision_the_message_and_a_link_to_try_it() {
    let out = preview(&[
        "tests/data/prow/prowjobs/20-presubmit-failure-s3-kind-e2e.json",
        "tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json",
        "tests/data/prow/prowjobs/05-postsubmit-success-s3-post-submit.json",
        "tests/data/prow/prowjobs/18-periodic-failure-label-sync.json",
    ])
    .args(["--config", "config/teams/platform.yaml"])
    .run()
    .ok();
    insta::with_settings!({ filters => [(r"(block-kit-builder)#\S+", "$1#…")] }, {
        assert_snapshot!(out.trim(), @r"
        2026-08-20T10:20:00Z  s3-kind-e2e s3-controller@main
          failure → fail → ignored: type presubmit is not in watch.types
          rule presubmit · service s3 · stage presubmit · severity non-critical · run 00000014-0000-4000-8000-000000000014

        2026-08-20T10:10:12Z  s3-post-submit s3-controller@v1.2.3
          failure → fail → notify: first failure; by-service/s3 by route 2, platform by route 3
          rule publish · service s3 · stage publish · severity critical · run 00000001-0000-4000-8000-000000000001
          to by-service/s3
          ┌ 🔴 s3 v1.2.3: publish failed
          │ What broke: the job failed
          │ Blocks: umbrella-chart-update, umbrella-chart-publish
          │ Controller: s3-controller  Stage: publish
          │ Version: v1.2.3            Job: s3-post-submit
          │ Severity: critical         Failing since: 2026-08-20 10:10 UTC
          │ How often: 1 failed run    Last good run: none on record
          │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368
          │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/s3-post-submit
          │ Commit: https://github.com/aws-controllers-k8s/s3-controller/releases/tag/v1.2.3
          └ aws-controllers-k8s/s3-controller  ·  2026-08-20 10:10 UTC  ·  id:33f13999
          https://app.slack.com/block-kit-builder#…
          to platform
          ┌ 🔴 s3 v1.2.3: publish failed
          │ @subteam^S0456EFGH
          │ What broke: the job failed
          │ Blocks: umbrella-chart-update, umbrella-chart-publish
          │ Controller: s3-controller  Stage: publish
          │ Version: v1.2.3            Job: s3-post-submit
          │ Severity: critical         Failing since: 2026-08-20 10:10 UTC
          │ How often: 1 failed run    Last good run: none on record
          │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368
          │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/s3-post-submit
          │ Commit: https://github.com/aws-controllers-k8s/s3-controller/releases/tag/v1.2.3
          └ aws-controllers-k8s/s3-controller  ·  2026-08-20 10:10 UTC  ·  id:eaa7f499
          https://app.slack.com/block-kit-builder#…

        2026-08-20T10:40:40Z  s3-post-submit s3-controller@v1.2.3
          success → pass → recovered: closes incident 1
          rule publish · service s3 · stage publish · severity critical · run 00000005-0000-4000-8000-000000000005
          to by-service/s3
          ┌ ✅ s3 v1.2.3: publish recovered
          │ It passed at 2026-08-20 10:40 UTC, 30m and 1 failed run after it first broke.
          │ What had broken: the job failed
          │ Controller: s3-controller  Stage: publish
          │ Version: v1.2.3            Job: s3-post-submit
          │ Severity: critical         First failure: 2026-08-20 10:10 UTC
          │ How often: 1 failed run    Last good run: none on record
          │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368
          │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/s3-post-submit
          │ Commit: https://github.com/aws-controllers-k8s/s3-controller/releases/tag/v1.2.3
          └ aws-controllers-k8s/s3-controller  ·  2026-08-20 10:40 UTC  ·  id:4deea5e9
          https://app.slack.com/block-kit-builder#…
          to platform
          ┌ ✅ s3 v1.2.3: publish recovered
          │ It passed at 2026-08-20 10:40 UTC, 30m and 1 failed run after it first broke.
          │ What had broken: the job failed
          │ Controller: s3-controller  Stage: publish
          │ Version: v1.2.3            Job: s3-post-submit
          │ Severity: critical         First failure: 2026-08-20 10:10 UTC
          │ How often: 1 failed run    Last good run: none on record
          │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368
          │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/s3-post-submit
          │ Commit: https://github.com/aws-controllers-k8s/s3-controller/releases/tag/v1.2.3
          └ aws-controllers-k8s/s3-controller  ·  2026-08-20 10:40 UTC  ·  id:5a568796
          https://app.slack.com/block-kit-builder#…

        2026-08-20T10:13:33Z  label-sync
          failure → fail → digest: first failure, not critical: collected; platform by route 1
          rule housekeeping · component prow · stage housekeeping · severity non-critical · run 00000012-0000-4000-8000-000000000012

        What falls due between and after these runs

        2026-08-20T11:13:33Z  digest
          to platform
          ┌ 🟡 Digest: 1 job failing
          │ Collected since 2026-08-20 10:13 UTC.
          │ housekeeping (non-critical)
          │ • prow label-sync 1 failed run Run: https://prow.example.com/view/s3/ack-prow-logs/logs/label-sync/2090381589476282368 – the job failed
          └ 2026-08-20 11:13 UTC  ·  id:638c62a2
          https://app.slack.com/block-kit-builder#…

        4 runs: 1 notify, 1 recovered, 1 digest, 1 ignored
        ");
    });
    assert!(!out.contains('\u{1b}'), "colour where nobody sees it");
}

#[test]
fn a_history_of_sightings_is_told_once() {
    let lines = json(&["tests/data/prow/watch/prowjobs-watch.ndjson"]);
    let decisions: Vec<&Value> = lines.iter().map(|line| &line["decision"]).collect();
    assert_eq!(
        decisions,
        [
            "not-failed",
            "not-failed",
            "notify",
            "deduplicated",
            "deduplicated"
        ]
    );
}

#[test]
fn what_cannot_be_read_is_a_usage_error_that_says_why() {
    for (input, expected) in [
        ("", "error: cannot read ProwJobs from standard input: "),
        (
            "<!doctype html><title>Log in</title>",
            "error: cannot read ProwJobs from standard input: ",
        ),
        (
            "{\"items\": [",
            "error: cannot read ProwJobs from standard input: ",
        ),
        (
            "{\"kind\": \"Pod\"}",
            "error: cannot read ProwJobs from standard input: ",
        ),
        ("- [", "error: cannot read ProwJobs from standard input: "),
    ] {
        let refused = preview(&[]).input(input).run().refused();
        assert!(refused.starts_with(expected), "{input:?}: {refused}");
        assert!(refused.len() > expected.len() + 10, "{refused}");
    }
    let missing = preview(&["no/such/file.json"]).run().refused();
    assert!(
        missing.contains("cannot read no/such/file.json"),
        "{missing}"
    );
    let config = program(&["preview", "--config", "no/such/config.yaml"])
        .run()
        .refused();
    assert!(
        config.contains("cannot read no/such/config.yaml"),
        "{config}"
    );
}

#[test]
fn a_bad_item_among_good_ones_is_a_warning_and_the_rest_is_shown() {
    let one =
        fs::read_to_string(data("prowjobs/01-postsubmit-failure-s3-post-submit.json")).unwrap();
    let input = format!("[{one}, {{\"metadata\": 7}}]");
    let ran = preview(&["--format", "json"]).input(input).run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(read(&ran.stdout).len(), 1);
    assert!(
        ran.stderr.starts_with("warning: standard input: "),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn nothing_to_preview_is_said() {
    let ran = preview(&["tests/data/prow/deck/prowjobs-empty.json"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(ran.stderr, "nothing to preview: no run was read\n");
    let one = "tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json";
    for (args, why) in [
        (&["--job", "nope"][..], "none is of that job (--job)"),
        (&["--since", "1s"], "none ended since then (--since)"),
        (
            &["--since", "1s", "--job", "nope"],
            "none is of that job and ended since then (--job, --since)",
        ),
    ] {
        let ran = preview(args).args([one]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
        let said = format!("nothing to preview: 1 run read, {why}\n");
        assert_eq!(ran.stderr, said);
    }
}

#[test]
fn an_output_that_nobody_reads_on_is_no_panic() {
    let script = format!(
        "\"{}\" --config config/ack.yaml preview tests/data/prow/deck/prowjobs.json | head -n 1",
        env!("CARGO_BIN_EXE_prow-notifier")
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(repository("."))
        .output()
        .unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(!talk.contains("panicked"), "{talk}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [
        &["--since", "soon"][..],
        &["--deck", "ftp://deck"],
        &["--deck", "https://deck.example.org", "file.json"],
        &["--format", "xml"],
    ] {
        let ran = preview(args).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?} {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}
