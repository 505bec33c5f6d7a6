//! Proves what is made of a GitHub status.

use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-08-20T12:00:00Z".parse().unwrap()
}

fn delivery() -> Value {
    let path = "tests/data/prow/webhooks/github-status-failure.json";
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn with(field: &str, value: Value) -> Status {
    let mut event = delivery();
    event[field] = value;
    status(event.to_string().as_bytes()).unwrap()
}

fn inferred(status: &Status) -> Observation {
    status.observation(None, now()).unwrap()
}

#[test]
fn the_recorded_delivery_becomes_a_failed_postsubmit() {
    let status = status(delivery().to_string().as_bytes()).unwrap();
    insta::assert_json_snapshot!(inferred(&status));
}

#[test]
fn padding_and_base_commit_are_cut_off() {
    let sha = "a".repeat(40);
    for (description, text) in [
        (
            format!("Job failed.\u{2001}\u{2001} BaseSHA:{sha}"),
            "Job failed.",
        ),
        (
            format!("\u{2001}\u{2001}Job failed. Basesha:{sha}\u{2001}"),
            "Job failed.",
        ),
        (format!("BaseSHA:{sha}"), ""),
        (format!("\u{130}é BASESHA: {sha}"), "\u{130}é"),
        ("Job failed.".to_owned(), "Job failed."),
        ("the text BaseSHA:oops".to_owned(), "the text BaseSHA:oops"),
        ("BaseSHA:".to_owned(), "BaseSHA:"),
    ] {
        let status = with("description", json!(description));
        assert_eq!(status.description, text, "{description}");
        assert_eq!(status.base_sha.is_some(), description.contains(&sha));
    }
    assert_eq!(with("description", Value::Null).description, "");
}

#[test]
fn only_pages_of_prow_runs_count() {
    let deck: DeckUrl = "https://prow.example.org/".parse().unwrap();
    for (target, job_type) in [
        ("https://x/view/s3/b/logs/j/1", Some("postsubmit")),
        ("https://x/view/gs/b/logs/j/1/", Some("postsubmit")),
        (
            "https://x/sub/view/gcs/b/pr-logs/pull/o_r/7/j/1",
            Some("presubmit"),
        ),
        ("https://x/view/file/pr-logs/pull/batch/j/1", Some("batch")),
        ("https://prow.example.org/odd/j/1", Some("unknown")),
        ("https://prow.example.org:444/odd/j/1", None),
        ("https://github.com/o/r/actions/runs/1", None),
        ("https://x/view/http/b/logs/j/1", None),
        ("https://x/view/", None),
        ("https://prow.example.org", None),
        ("javascript:/view/s3/1", None),
        ("/view/s3/b/logs/j/1", None),
        ("", None),
        ("\u{0}::", None),
    ] {
        let status = with("target_url", json!(target));
        let run = status.observation(Some(&deck), now());
        let found = run.as_ref().map(|run| run.job_type.as_str());
        assert_eq!(found, job_type, "{target}");
        if let Some(run) = run {
            assert_eq!(run.build_id.as_deref(), Some("1"), "{target}");
        }
    }
}

#[test]
fn a_pull_requests_status_is_not_of_its_base() {
    let target = "https://x/view/s3/b/pr-logs/pull/o_r/103/j/1";
    let refs = inferred(&with("target_url", json!(target))).refs.unwrap();
    assert_eq!(refs.pull.unwrap().number, 103);
    assert_eq!(refs.base_ref, "");
    assert_eq!(refs.base_sha, Some("a".repeat(40)));
}

#[test]
fn states_map_and_only_final_ones_end() {
    for (word, finished) in [
        ("pending", false),
        ("success", true),
        ("failure", true),
        ("error", true),
        ("surprise", false),
    ] {
        let run = inferred(&with("state", json!(word)));
        assert_eq!(run.state.as_str(), word);
        assert_eq!(run.completed_at.is_some(), finished, "{word}");
        assert_eq!(run.is_finished(), finished, "{word}");
    }
}

#[test]
fn the_branch_is_known_only_when_there_is_one() {
    for (branches, expected) in [
        (json!([{"name": "main"}]), "main"),
        (json!([{"name": "main"}, {"name": "x"}]), ""),
        (json!([]), ""),
        (json!([7]), ""),
        (json!("main"), ""),
        (Value::Null, ""),
    ] {
        let run = inferred(&with("branches", branches.clone()));
        assert_eq!(run.base_ref(), expected, "{branches}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for field in ["sha", "context", "state"] {
        let mut event = delivery();
        event[field] = json!("");
        let error = status(event.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("{field} is missing"));
    }
    let error = status(br#"{"zen":"x"}"#).unwrap_err();
    assert_eq!(error.to_string(), "repository.full_name is missing");
    for path in ["github-push.json", "github-issue_comment.json"] {
        let body = std::fs::read(format!("tests/data/prow/webhooks/{path}")).unwrap();
        assert!(status(&body).is_err(), "{path}");
    }
    assert!(status(b"[]").is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}", tail in "[ba]asesha:[a-f\u{2001} ]{0,12}") {
        let text = format!("{text}{tail}");
        for field in ["description", "target_url", "context", "sha", "updated_at"] {
            let mut event = delivery();
            event[field] = json!(text);
            if let Ok(status) = status(event.to_string().as_bytes()) {
                drop(status.observation(None, now()));
            }
        }
    }
}
