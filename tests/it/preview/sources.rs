//! Where a preview reads runs from: every form of file, standard input, and a deck.

use std::{fs, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    standin::prow::{DeckStandin, Fault, Job},
};
use serde_json::Value;
use tokio_util::task::TaskTracker;

use super::{data, json, preview, read};
use crate::program::{Program, Ran, repository};

#[test]
fn every_form_of_input_is_read() {
    let name = "tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json";
    let one = fs::read_to_string(repository(name)).unwrap();
    let expected = json(&[name]);
    let value: Value = serde_json::from_str(&one).unwrap();
    let compact = value.to_string();
    let yaml = fs::read_to_string(data("deck/prowjob.yaml")).unwrap();
    for (form, text) in [
        ("a ProwJob", one.clone()),
        ("a list", format!("{{\"items\": [{one}]}}")),
        ("an array", format!("[{one}]")),
        (
            "deck's script",
            format!("var allBuilds = {{\"items\": [{one}]}};"),
        ),
        ("lines", format!("{compact}\n")),
        (
            "a watch event",
            format!("{{\"type\": \"MODIFIED\", \"object\": {compact}}}\n"),
        ),
        ("YAML", yaml.clone()),
        ("YAML with its mark", format!("---\n{yaml}")),
        ("a byte order mark", format!("\u{feff}{one}")),
    ] {
        for args in [&["--format", "json"][..], &["--format", "json", "-"]] {
            let ran = preview(args).input(text.clone()).run();
            assert_eq!((form, read(&ran.ok())), (form, expected.clone()));
        }
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(one.as_bytes()).unwrap();
    let packed = packer.finish().unwrap();
    let ran = preview(&["--format", "json"]).input(packed.clone()).run();
    assert_eq!(read(&ran.ok()), expected);
    let (cut, _) = packed.split_at(packed.len() / 2);
    let said = preview(&["--format", "json"]).input(cut).run().refused();
    assert!(
        said.starts_with("error: cannot unpack standard input: "),
        "{said}"
    );
}

#[test]
fn several_files_and_standard_input_are_one_history() {
    let second = fs::read(data("prowjobs/05-postsubmit-success-s3-post-submit.json")).unwrap();
    let out = preview(&["--format", "json", "-"])
        .args(["tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json"])
        .input(second)
        .run()
        .ok();
    let decisions: Vec<Value> = read(&out)
        .iter()
        .map(|line| line["decision"].clone())
        .collect();
    // In order of input, though the failure was first.
    assert_eq!(decisions, ["recovered", "notify"]);
}

fn ago(minutes: i64) -> Timestamp {
    Clock::System.now() - SignedDuration::from_mins(minutes)
}

fn failed(service: &str, job: &str, minutes: i64) -> Job {
    Job::new(
        &format!("{service}-controller"),
        job,
        "v1.2.3",
        ago(minutes + 10),
    )
    .ended("failure", "Job failed.", Some(ago(minutes)))
}

/// Runs the program beside a stand-in that answers it.
async fn beside(program: Program) -> Ran {
    tokio::task::spawn_blocking(|| program.run()).await.unwrap()
}

fn services(ran: Ran) -> Vec<String> {
    let lines = read(&ran.ok());
    let services = lines
        .iter()
        .map(|line| line["service"].as_str().unwrap().to_owned());
    services.collect()
}

#[tokio::test]
async fn a_decks_list_is_previewed_by_job_and_age() {
    let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    deck.set_jobs(vec![
        failed("sqs", "update-ack-chart", 5).to_json(),
        failed("s3", "s3-post-submit", 30).to_json(),
        failed("sns", "update-ack-chart", 300).to_json(),
    ]);
    let ask = |args: &[&str]| {
        preview(&["--format", "json", "--no-logs", "--deck", &deck.url()]).args(args)
    };
    for (args, expected) in [
        (&[][..], &["sqs", "s3", "sns"][..]),
        (&["--job", "update-ack-chart"], &["sqs", "sns"]),
        (&["--since", "2h"], &["sqs", "s3"]),
        (&["--since", "2h", "--job", "update-ack-chart"], &["sqs"]),
    ] {
        assert_eq!(services(beside(ask(args)).await), expected, "{args:?}");
    }
    assert_eq!(deck.requests().list, 4);
    deck.stop().await;
}

#[tokio::test]
async fn a_deck_that_gives_no_list_is_an_error_not_an_empty_preview() {
    let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    deck.set_fault(Some(Fault::Answer {
        status: 200,
        content_type: "text/html".to_owned(),
        body: "<html>Please log in</html>".to_owned(),
    }));
    let ran = beside(preview(&["--deck", &deck.url()])).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    deck.stop().await;
}
