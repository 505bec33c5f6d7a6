//! `explain` as a command, beside a store in use: what became of a run or a message, and why.

use insta::assert_snapshot;
use jiff::SignedDuration;
use prow_notifier::standin::slack::Forced;
use serde_json::Value;

use crate::{
    inside::{EACH_JOB_A_STAGE, Inside, failed, passed},
    program::{Ran, program},
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A failure that Slack takes at the second attempt, one more within the window, and the recovery.
async fn history() -> (Inside, [String; 3]) {
    let config = format!("{EACH_JOB_A_STAGE}routes: [ {{ receiver: team }} ]\n");
    let mut inside = Inside::new(&config).await;
    let now = inside.now();
    let jobs = [
        failed("s3", "publish", now),
        failed("s3", "publish", now + 10 * MINUTE),
        passed("s3", "publish", now + 20 * MINUTE),
    ];
    inside
        .slack
        .force("team", Forced::answer(500, "rollup_error"));
    for job in &jobs {
        inside.accept(std::slice::from_ref(job)).await;
        inside.pass(10 * MINUTE).await;
    }
    inside.accept(&jobs[..1]).await;
    inside.pass(MINUTE).await;
    let names = jobs.each_ref().map(prow_notifier::standin::prow::Job::name);
    (inside, names)
}

fn explain(inside: &Inside, args: &[&str]) -> Ran {
    let program = program(&["explain"]).args(args);
    program.config(inside.home().join("config")).run()
}

fn json(inside: &Inside, subject: &str) -> Value {
    let shown = explain(inside, &[subject, "--format", "json"]).ok();
    assert_eq!(shown.lines().count(), 1, "one object, one line");
    serde_json::from_str(&shown).unwrap()
}

fn texts<'a>(rows: &'a Value, key: &str) -> Vec<&'a str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[key].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_run_is_explained_from_sighting_to_delivery() {
    let (inside, [first, ..]) = history().await;
    let shown = explain(&inside, &[&first]).ok();
    assert_snapshot!(shown, @r"
    run b7ef8d14-5933-4873-8610-ac1be5afc393
      postsubmit|aws-controllers-k8s|s3-controller|publish|tag  failure → fail, finished 2026-08-20T10:00:00Z
      https://prow.example.com/view/s3/ack-prow-logs/logs/publish/2090377047045670247
    decisions
      2026-08-20T10:00:00Z  notify from webhook: first failure; team by route 1
        rule any, run b7ef8d14-5933-4873-8610-ac1be5afc393
      2026-08-20T10:30:00Z  deduplicated from webhook: this run's end is known already
        rule any, run b7ef8d14-5933-4873-8610-ac1be5afc393
    incidents
      1 since 2026-08-20T10:00:00Z, 2 bad runs, closed 2026-08-20T10:20:00Z by c4ab612f-88e4-4416-8776-9c1c96b0b4c6: the job failed
    notifications
      2026-08-20T10:00:00Z  opened id:7f5afe2a
        to team: sent
          2026-08-20T10:00:00Z retry rollup_error
          2026-08-20T10:00:00.763Z sent
      2026-08-20T10:20:00Z  recovered id:a0006ebb
        to team: sent
          2026-08-20T10:20:00Z sent
    ");
    let trail = json(&inside, &first);
    assert_eq!(trail["run"]["name"], first);
    assert_eq!(
        texts(&trail["decisions"], "decision"),
        ["notify", "deduplicated"]
    );
    let sent = &trail["notifications"][0]["deliveries"][0];
    assert_eq!(
        (&sent["receiver"], &sent["state"]),
        (&"team".into(), &"sent".into())
    );
    assert_eq!(texts(&sent["attempts"], "outcome"), ["retry", "sent"]);
}

#[tokio::test]
async fn a_run_that_was_not_told_says_why() {
    let (inside, [_, second, _]) = history().await;
    let trail = json(&inside, &second);
    assert_eq!(texts(&trail["decisions"], "decision"), ["deduplicated"]);
    let reason = trail["decisions"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("failure 2 of incident "), "{reason}");
}

#[tokio::test]
async fn a_run_is_found_by_its_build_id() {
    let (inside, [first, ..]) = history().await;
    let job = failed("s3", "publish", crate::inside::start());
    assert_eq!(job.name(), first);
    let by_name = json(&inside, &first);
    assert_eq!(json(&inside, &job.build_id()), by_name);
    let page = format!(
        "https://prow.example.org/view/gs/logs/publish/{}",
        job.build_id()
    );
    assert_eq!(json(&inside, &page), by_name);
}

#[tokio::test]
async fn a_message_is_explained_by_the_id_that_it_shows() {
    let (inside, [_, second, _]) = history().await;
    let messages = inside.messages("team");
    let recovered = messages.last().unwrap().payload.to_string();
    let (_, id) = recovered.rsplit_once("id:").unwrap();
    let id: String = id.chars().take(8).collect();
    let trail = json(&inside, &id);
    assert_eq!(trail["run"], Value::Null);
    assert_eq!(
        trail["notifications"][0]["notification"]["event"],
        "recovered"
    );
    let about = texts(&trail["decisions"], "run");
    // Of the run that the message shows.
    assert_eq!(about, [second]);
    let shown = explain(&inside, &[&id]).ok();
    assert!(shown.contains(&format!("recovered id:{id}")), "{shown}");
    // As it is shown, and so as it is copied.
    assert_eq!(explain(&inside, &[&format!("id:{id}")]).ok(), shown);
}

#[tokio::test]
async fn an_unknown_run_is_the_answer_no() {
    let (inside, _) = history().await;
    for subject in ["no-such-run", "123456", "00000000", "; DROP TABLE runs"] {
        let ran = explain(&inside, &[subject]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{subject}");
        let expected =
            format!("nothing is known of {subject}: never seen, or older than store.retention\n");
        assert_eq!(ran.stderr, expected);
    }
    assert_eq!(
        explain(&inside, &["no-such-run", "--format", "json"]).code,
        1
    );
}

#[test]
fn without_a_store_there_is_a_hint_and_none_is_made() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("c.yaml");
    let store = home.path().join("state.db");
    std::fs::write(
        &config,
        format!("store: {{ url: \"sqlite://{}\" }}\n", store.display()),
    )
    .unwrap();
    let said = program(&["explain", "x"]).config(&config).run().refused();
    let expected = format!(
        "error: there is no store at {}; is this the daemon's configuration?\n",
        store.display()
    );
    assert_eq!(said, expected);
    assert!(!store.exists());
}

#[tokio::test]
async fn text_from_outside_does_not_reach_the_terminal_as_commands() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    let now = inside.now();
    let job =
        failed("s3", "publish", now).ended("failure", "\u{1b}[2J\u{202e}evil\u{7}", Some(now));
    inside.accept(std::slice::from_ref(&job)).await;
    inside.pass(MINUTE).await;
    let shown = explain(&inside, &[&job.name()]).ok();
    assert!(shown.contains("evil"), "{shown}");
    assert!(
        !shown.contains(['\u{1b}', '\u{202e}', '\u{7}']),
        "{shown:?}"
    );
}
