//! `backtest` as a command: a history in any order and packing is replayed in time, summed up, measured and
//! compared.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use insta::assert_snapshot;
use jiff::Timestamp;
use prow_notifier::standin::prow::Job;
use serde_json::{Value, json};

use crate::program::{Program, program, repository};

const RECEIVERS: &str = "tests/data/history/receivers.yaml";

fn backtest(args: &[&str]) -> Program {
    program(&[
        "--config",
        "config/ack.yaml",
        "--config",
        RECEIVERS,
        "backtest",
    ])
    .args(args)
}

fn read(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn at(clock: &str) -> Timestamp {
    format!("2024-03-01T{clock}Z").parse().unwrap()
}

/// A publishing run of a service.
fn run(service: &str, state: &str, from: &str, to: &str) -> Value {
    let job = Job::new(
        &format!("{service}-controller"),
        &format!("{service}-post-submit"),
        "v1.2.3",
        at(from),
    );
    let description = match state {
        "success" => "Job succeeded.",
        _ => "Job failed.",
    };
    job.ended(state, description, Some(at(to))).to_json()
}

/// Breaks at ten, again at half past ten, passes at a quarter past eleven; another service breaks at noon.
fn storyline() -> Vec<Value> {
    vec![
        run("s3", "failure", "09:50:00", "10:00:00"),
        run("s3", "failure", "10:20:00", "10:30:00"),
        run("s3", "success", "11:10:00", "11:15:00"),
        run("sqs", "failure", "11:00:00", "12:00:00"),
    ]
}

fn lines(runs: &[Value]) -> String {
    let lines: Vec<String> = runs.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

fn file(home: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = home.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// What was said, in short.
fn said(lines: &str) -> String {
    let short = |line: Value| {
        let words = ["at", "event", "receiver"].map(|key| line[key].as_str().unwrap().to_owned());
        words.join(" ")
    };
    let said: Vec<String> = read(lines).into_iter().map(short).collect();
    said.join("\n")
}

#[test]
fn each_message_goes_out_at_its_own_time() {
    let ran = backtest(&["--format", "ndjson", "--history", "-"]).input(lines(&storyline()));
    assert_snapshot!(said(&ran.run().ok()), @r"
    2024-03-01T10:00:00Z opened by-service/s3
    2024-03-01T10:00:00Z opened platform
    2024-03-01T10:20:00Z stalled by-service/s3
    2024-03-01T10:20:00Z stalled platform
    2024-03-01T11:00:00Z still-failing by-service/s3
    2024-03-01T11:00:00Z still-failing platform
    2024-03-01T11:15:00Z recovered by-service/s3
    2024-03-01T11:15:00Z recovered platform
    2024-03-01T11:30:00Z stalled by-service/sqs
    2024-03-01T11:30:00Z stalled platform
    2024-03-01T12:00:00Z opened by-service/sqs
    2024-03-01T12:00:00Z opened platform
    ");
}

#[test]
fn a_line_has_all_that_a_reader_needs_in_a_fixed_order() {
    let ran = backtest(&["--format", "ndjson", "--history", "-"]).input(lines(&storyline()));
    let out = ran.run().ok();
    let recovered = out
        .lines()
        .find(|line| line.contains("\"recovered\""))
        .unwrap();
    let runs = storyline();
    let names = [&runs[1], &runs[2]].map(|run| run["metadata"]["name"].as_str().unwrap());
    let recovered = names
        .iter()
        .zip(["BAD", "GOOD"])
        .fold(recovered.to_owned(), |line, (name, word)| {
            line.replace(name, word)
        });
    assert_snapshot!(recovered, @r#"{"at":"2024-03-01T11:15:00Z","event":"recovered","incident":"1-7d6a4ebf","severity":"critical","stage":"publish","services":["s3"],"receiver":"by-service/s3","runs":["BAD","GOOD"],"text":"✅ s3 v1.2.3: publish recovered. It passed at 2024-03-01 11:15 UTC, 1h 15m and 2 failed runs after it first broke."}"#);
}

#[test]
fn order_packing_and_form_of_the_files_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let runs = storyline();
    let expected = backtest(&["--format", "ndjson", "--history", "-"])
        .input(lines(&runs))
        .run()
        .ok();
    let mut backwards = runs.clone();
    backwards.reverse();
    let list = json!({"items": backwards});
    let pretty = serde_json::to_string_pretty(&list).unwrap();
    let watched: Vec<Value> = runs
        .iter()
        .map(|run| json!({"type": "MODIFIED", "object": run}))
        .collect();
    for (form, files) in [
        ("backwards", vec![lines(&backwards).into_bytes()]),
        ("packed", vec![packed(&lines(&runs))]),
        ("a list on one line", vec![list.to_string().into_bytes()]),
        ("a list over many lines", vec![pretty.into_bytes()]),
        (
            "deck's script",
            vec![format!("var allBuilds = {list};").into_bytes()],
        ),
        ("watch events", vec![lines(&watched).into_bytes()]),
        (
            "two files",
            vec![lines(&runs[2..]).into_bytes(), packed(&lines(&runs[..2]))],
        ),
        (
            "the same twice",
            vec![lines(&runs).into_bytes(), lines(&runs).into_bytes()],
        ),
    ] {
        let files: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(number, bytes)| file(home.path(), &number.to_string(), bytes))
            .collect();
        let ran = backtest(&["--format", "ndjson", "--history"])
            .args(&files)
            .run();
        assert_eq!((form, ran.ok()), (form, expected.clone()));
    }
}

#[test]
fn a_bad_line_is_told_with_its_place_and_ends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut lines = lines(&storyline());
    lines.insert_str(0, "\n{\"kind\": \"ProwJob\", \"metadata\"\n");
    lines.push_str("{\"metadata\": {\"name\": \"x\"}, \"status\": {\"startTime\": \"2024-03-01T09:00:00Z\"}}\n");
    let path = file(home.path(), "runs.ndjson", lines);
    let ran = backtest(&["--format", "json", "--history"])
        .args([&path])
        .run();
    let place = |line: usize| format!("{}:{line}: ", path.display());
    for line in [2, 7] {
        assert!(ran.stderr.contains(&place(line)), "{}", ran.stderr);
    }
    let summary: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(
        (&summary["runs"], &summary["unreadable"]),
        (&json!(4), &json!(2))
    );
}

#[test]
fn a_history_without_runs_is_a_no_and_a_missing_one_a_mistake() {
    let ran = backtest(&["--history", "-"]).input("{}\n").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    let complaint = backtest(&["--history", "/nonexistent/runs"])
        .run()
        .refused();
    assert!(complaint.contains("/nonexistent/runs"), "{complaint}");
}

#[test]
fn the_summary_is_a_table_for_people() {
    let mut runs = storyline();
    let mut foreign = runs[0].clone();
    foreign["spec"]["job"] = json!("something-new");
    foreign["metadata"]["name"] = json!("new");
    runs.push(foreign);
    let out = backtest(&["--history", "-"]).input(lines(&runs)).run().ok();
    assert_snapshot!(out, @r"
    5 runs from 2024-03-01 to 2024-03-01: 13 messages to 3 receivers

    Messages per receiver and week
      receiver        all  a week  most in a week  most in an hour        2024-W09
      platform        7    7.0     7 in 2024-W09   3 at 2024-03-01 10:00  7
      by-service/s3   4    4.0     4 in 2024-W09   2 at 2024-03-01 10:00  4
      by-service/sqs  2    2.0     2 in 2024-W09   1 at 2024-03-01 11:00  2

    What became of the runs
      notify        2
      recovered     1
      deduplicated  1
      unmatched     1

    Jobs that no rule knows
      job                                              runs  bad
      aws-controllers-k8s/s3-controller something-new  1     1
    ");
}

/// The storyline's truth: one incident found, one that nobody saw.
fn truth() -> Value {
    let incident = |stage: &str, service: &str, from: &str, to: &str| {
        json!({"kind": "failed", "stage": stage, "services": [service],
               "broke_at": at(from).to_string(), "restored_at": at(to).to_string()})
    };
    json!({"incidents": [
        incident("publish", "s3", "09:59:00", "11:15:00"),
        incident("release-tag", "ec2", "09:00:00", "09:30:00"),
    ], "quiet_days": []})
}

#[test]
fn messages_are_measured_against_what_truly_happened() {
    let home = tempfile::tempdir().unwrap();
    let truth = file(home.path(), "truth.json", truth().to_string());
    let ran = backtest(&["--format", "json", "--history", "-", "--truth"])
        .args([truth])
        .input(lines(&storyline()))
        .run();
    let summary: Value = serde_json::from_str(&ran.ok()).unwrap();
    let score = &summary["score"];
    assert_eq!(score["detected"], 1);
    assert_eq!(
        score["missed"],
        json!(["failed release-tag ec2 2024-03-01T09:00:00Z"])
    );
    assert_eq!(score["mttd_s"]["max"], 60.0);
    assert_eq!(
        (&score["own_receiver_missing"], &score["recovery_missing"]),
        (&json!(1), &json!(0))
    );
    // The other service broke in a stage of the truth, and the truth knows nothing of it.
    assert_eq!(score["false_alarms"], 2);
}

#[test]
fn a_second_configuration_shows_only_what_it_changes() {
    let home = tempfile::tempdir().unwrap();
    let quiet = fs::read_to_string(repository(RECEIVERS)).unwrap().replace(
        "  - receiver: platform\n",
        "  - match: ['service!=\"sqs\"']\n    receiver: platform\n",
    );
    let quiet = file(home.path(), "quiet.yaml", quiet);
    let slow = file(home.path(), "slow.yaml", "dedup: { window: 2h }\n");
    let against = |paths: &[&Path], format: &str| {
        let mut command =
            backtest(&["--format", format, "--history", "-"]).input(lines(&storyline()));
        for path in paths {
            command = command.args(["--against".as_ref(), path.as_os_str()]);
        }
        command.run()
    };
    let rules = Path::new("config/ack.yaml");
    let same = against(&[rules, Path::new(RECEIVERS)], "text");
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (0, "messages: 0 fewer, 0 more, 0 moved\n")
    );
    let less = against(&[rules, &quiet], "text");
    assert_eq!(less.code, 1);
    let lines = less.stdout.lines();
    let told: Vec<&str> = lines.filter(|line| !line.contains("  stalled ")).collect();
    assert_snapshot!(told.join("\n"), @r"
    - 2024-03-01T12:00:00Z  opened platform: 🔴 sqs v1.2.3: publish failed: the job failed. First failure at 2024-03-01 12:00 UTC.
    messages: 2 fewer, 0 more, 0 moved
    ");
    let later = against(&[rules, Path::new(RECEIVERS), &slow], "ndjson");
    assert_eq!(later.code, 1);
    let changes: Vec<String> = read(&later.stdout)
        .iter()
        .map(|line| format!("{} {} {}", line["change"], line["event"], line["receiver"]))
        .collect();
    // Within two hours it recovers, so nobody is reminded.
    let reminder = |receiver| format!(r#""only-config" "still-failing" "{receiver}""#);
    assert_eq!(changes, ["by-service/s3", "platform"].map(reminder));
}

/// A silence of a service, as `silence list --format json` prints it.
fn silence(id: u64, service: &str, from: &str, to: &str) -> Value {
    json!({
        "id": id, "standing": "expired", "matchers": [format!("service={service:?}")], "author": "jane",
        "reason": "the registry moves", "created_at": at(from).to_string(), "starts_at": at(from).to_string(),
        "ends_at": at(to).to_string(), "ends_in_s": -5, "expired_by": null, "hides": 0,
    })
}

#[test]
fn silences_show_what_they_would_have_held_back() {
    let home = tempfile::tempdir().unwrap();
    let silences = [
        silence(1, "s3", "09:00:00", "10:50:00"),
        silence(2, "sqs", "08:00:00", "09:00:00"),
    ];
    let api = json!({ "data": { "stale": false }, "silences": silences, "windows": [] });
    let list = file(home.path(), "list", lines(&silences));
    let answer = file(home.path(), "answer", api.to_string());
    let tried = |path: &PathBuf, format: &str| {
        let command = backtest(&["--format", format, "--history", "-", "--silences"]);
        command.args([path]).input(lines(&storyline())).run()
    };
    let ran = tried(&list, "text");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let shown = ran.stdout.lines();
    let shown: Vec<&str> = shown.filter(|line| !line.contains("  stalled ")).collect();
    // What was broken when the silence ended was told then; what it had counted until then was told with that.
    assert_snapshot!(shown.join("\n"), @r"
    ~ 2024-03-01T10:00:00Z moved to 2024-03-01T10:50:00Z  opened by-service/s3: 🔴 s3 v1.2.3: publish failed: the job failed. First failure at 2024-03-01 10:00 UTC.
    ~ 2024-03-01T10:00:00Z moved to 2024-03-01T10:50:00Z  opened platform: 🔴 s3 v1.2.3: publish failed: the job failed. First failure at 2024-03-01 10:00 UTC.
    - 2024-03-01T11:00:00Z  still-failing by-service/s3: 🔁 s3 v1.2.3: publish still failing: the job failed. Failing since 2024-03-01 10:00 UTC, 2 failed runs.
    - 2024-03-01T11:00:00Z  still-failing platform: 🔁 s3 v1.2.3: publish still failing: the job failed. Failing since 2024-03-01 10:00 UTC, 2 failed runs.
    messages: 2 fewer, 0 more, 4 moved
    ");
    assert_eq!(tried(&answer, "text").stdout, ran.stdout);
    let bad = file(
        home.path(),
        "bad",
        r#"{ "id": 1, "matchers": ["servce=\"s3\""] }"#,
    );
    let complaint = tried(&bad, "text").refused();
    assert!(complaint.contains("silence 1 of "), "{complaint}");
    let none = file(home.path(), "none", r#"{ "silences": [] }"#);
    assert!(tried(&none, "text").refused().contains("has no silence"));
}

#[test]
fn the_recorded_history_of_a_fleet_is_replayed_whole() {
    let out = backtest(&["--format", "json"])
        .args(["--history", "tests/data/history/runs.ndjson.gz"])
        .args(["--logs", "tests/data/history/logs.ndjson.gz"])
        .args(["--truth", "tests/data/history/truth.json"])
        .run()
        .ok();
    let summary: Value = serde_json::from_str(&out).unwrap();
    let score = &summary["score"];
    println!("{score:#}");
    assert_eq!(score["detected"], score["incidents"], "{}", score["missed"]);
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&score["mttd_s"]["median"]) < 60.0 && number(&score["mttd_s"]["p95"]) < 900.0);
    assert!(number(&score["mttd_stalled_s"]["p95"]) < 2_100.0);
    assert_eq!(score["own_receiver_missing"], 0);
    assert!(number(&score["messages_per_owed"]) <= 2.5);
    assert!(
        number(&score["recovery_missing"]) <= 2.0,
        "{}",
        score["unclosed"]
    );
    assert!(number(&score["busiest_hour"]) <= 8.0);
    assert_eq!(score["false_alarms"], 0);
    assert_eq!(summary["runs"], summary["score"]["runs"]);
    assert_eq!(summary["unclassified"], json!([]));
    assert_eq!(summary["unreadable"], 0);
}
