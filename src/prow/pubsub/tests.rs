//! Messages as the reporter publishes them, pushed in both forms, and the shapes of `gcs_path` that are repaired.

use serde_json::{Value, json};

use super::*;

fn report() -> Value {
    json!({"project": "p", "topic": "t", "runid": "r", "status": "failure",
        "url": "https://prow.example.com/view/s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368",
        "gcs_path": "s3://ack-prow-logs/logs/s3-post-submit/2090378317919162368",
        "refs": [{"org": "aws-controllers-k8s", "repo": "s3-controller", "base_ref": "v1.2.3", "base_sha": "00ff"},
                 {"org": "other", "repo": "extra"}],
        "job_type": "postsubmit", "job_name": "s3-post-submit", "message": "Job failed."})
}

fn wrapped(data: &str) -> Vec<u8> {
    let message = json!({"data": BASE64_STANDARD.encode(data), "messageId": "17", "message_id": "17",
        "publishTime": "2026-08-20T09:59:58.5Z", "publish_time": "2026-08-20T09:59:58.5Z"});
    let push = json!({"message": message, "subscription": "projects/p/subscriptions/s"});
    push.to_string().into_bytes()
}

fn now() -> Timestamp {
    "2026-08-20T10:00:00Z".parse().unwrap()
}

#[test]
fn a_push_is_read_with_and_without_its_envelope() {
    let data = report().to_string();
    let push = Push::read(&wrapped(&data)).unwrap();
    assert_eq!(
        (push.id.as_deref(), &push.data),
        (Some("17"), &data.clone().into_bytes())
    );
    let run = observation(&push, now()).unwrap();
    assert_eq!(run.run.0, "pubsub:s3-post-submit/2090378317919162368");
    assert_eq!(run.completed_at, push.published_at);
    assert_eq!(
        (run.org(), run.repo(), run.base_ref()),
        ("aws-controllers-k8s", "s3-controller", "v1.2.3")
    );
    assert!(run.inferred && run.is_finished());
    let bare = Push::read(data.as_bytes()).unwrap();
    assert_eq!(bare.id, None);
    let bare = observation(&bare, now()).unwrap();
    assert_eq!((bare.run, bare.completed_at), (run.run, Some(now())));
}

#[test]
fn what_the_reporter_makes_of_an_address_is_made_good() {
    let good = "ack-prow-logs/logs/s3-post-submit/2090378317919162368";
    let (s3, gs) = (format!("s3://{good}"), format!("gs://{good}"));
    let pull = "pr-logs/pull/org_repo/7/s3-post-submit/42";
    for (text, expected) in [
        (format!("s3://{good}"), Some(s3.as_str())),
        (format!("gs://{good}/"), Some(gs.as_str())),
        (format!("gs:///gs/{good}"), Some(&gs)),
        (format!("gs://gs/{good}"), Some(&gs)),
        (format!("gs:///s3/{good}"), Some(&s3)),
        (format!("gs://s3/{good}"), Some(&s3)),
        (format!("s3:///s3/{good}"), Some(&s3)),
        (format!("gs://gcs/{good}"), Some(&gs)),
        (format!("gs:/{good}"), Some(&gs)),
        (format!("gs:///{good}"), Some(&gs)),
        (format!("gs:///view/s3/{good}"), Some(&s3)),
        (format!("gs://prow.example.com/view/s3/{good}"), Some(&s3)),
        (
            format!("gs://https://prow.example.com/view/s3/{good}"),
            Some(&s3),
        ),
        (
            format!("https://prow.example.com/view/gs/{good}"),
            Some(&gs),
        ),
        (
            format!("https://prow.example.com/view/gs/{good}?x=y#z"),
            Some(&gs),
        ),
        (format!("s3://s3://{good}"), Some(&s3)),
        (format!("/s3/{good}"), Some(&s3)),
        (good.to_owned(), Some(&gs)),
        (
            format!("gs://bucket/{pull}"),
            Some("gs://bucket/pr-logs/pull/org_repo/7/s3-post-submit/42"),
        ),
        (
            "gs://bucket/some/prefix/logs/s3-post-submit/42".to_owned(),
            Some("gs://bucket/some/prefix/logs/s3-post-submit/42"),
        ),
        // Of another job, above its bucket, or leading out of it.
        ("gs://bucket/logs/other/42".to_owned(), None),
        ("gs://logs/s3-post-submit/42".to_owned(), None),
        ("gs://bucket/s3-post-submit/42".to_owned(), None),
        ("gs://bucket/../logs/s3-post-submit/42".to_owned(), None),
        ("gs://bucket/logs/s3-post-submit/%2e%2e".to_owned(), None),
        ("gs://Bucket:80/logs/s3-post-submit/42".to_owned(), None),
        ("gs://".to_owned(), None),
        (String::new(), None),
    ] {
        let found = place::repaired(&text, "s3-post-submit").map(|folder| folder.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_run_without_a_folder_is_told_apart_by_its_page_or_its_message() {
    let mut told = report();
    told["gcs_path"] = json!("");
    told["url"] = json!("https://prow.example.com/view/prowjob/s3-post-submit/42");
    let run = |told: &Value| {
        observation(&Push::read(&wrapped(&told.to_string())).unwrap(), now()).unwrap()
    };
    assert_eq!(run(&told).run.0, "pubsub:s3-post-submit/42");
    told["url"] = json!(null);
    let nameless = run(&told);
    assert_eq!(
        (nameless.run.0.as_str(), nameless.build_id),
        ("pubsub:s3-post-submit@17", None)
    );
    // Extra refs are all that a periodic's message has, and own nothing.
    told["job_type"] = json!("periodic");
    assert_eq!(run(&told).refs, None);
}

#[test]
fn what_is_no_report_of_a_run_says_why() {
    for (data, why) in [
        ("hello", "its data is not JSON"),
        ("[1]", "its data is not an object"),
        ("{}", "it tells no status"),
        (
            r#"{"status":"error","message":"Failed creating prowjob: x","job_name":""}"#,
            "it names no job",
        ),
    ] {
        let push = Push::read(&wrapped(data)).unwrap();
        assert_eq!(observation(&push, now()).unwrap_err(), why, "{data}");
    }
    assert!(Push::read(b"nothing").is_err());
    assert!(Push::read(br#"{"message":{"data":"%%%"}}"#).is_err());
}

#[test]
fn a_repetition_under_another_number_has_the_same_content() {
    let push = Push::read(&wrapped(&report().to_string())).unwrap();
    let again = Push {
        id: Some("18".to_owned()),
        ..push.clone()
    };
    assert_eq!(content(&push), content(&again));
    let mut passed = report();
    passed["status"] = json!("success");
    let passed = Push::read(&wrapped(&passed.to_string())).unwrap();
    assert_ne!(content(&push), content(&passed));
}
