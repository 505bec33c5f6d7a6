//! Proves that the list is read alike however it is cut, and that what is not a list is an error.

use proptest::prelude::*;
use tokio_util::task::TaskTracker;

use super::*;
use crate::standin::prow::{DeckStandin, Fault, Job};

fn now() -> Timestamp {
    "2026-08-20T12:00:00Z".parse().unwrap()
}

fn split(chunks: &[&[u8]]) -> Result<Vec<String>, SplitError> {
    let mut splitter = Splitter::default();
    let mut elements = Vec::new();
    for chunk in chunks {
        splitter.push(chunk, &mut |element| {
            elements.push(String::from_utf8_lossy(element).into_owned());
        })?;
    }
    splitter.finish().map(|()| elements)
}

fn read(chunks: &[&[u8]]) -> Result<(Vec<Observation>, ListStats), SplitError> {
    let mut reader = ListReader::new(now());
    let mut runs = Vec::new();
    for chunk in chunks {
        reader.push(chunk, &mut |run| runs.push(run))?;
    }
    reader.finish().map(|stats| (runs, stats))
}

fn job(name: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"job":"j","type":"periodic"}}}}"#)
}

#[test]
fn a_cut_at_any_byte_gives_the_same_items() {
    let body = format!(
        "\u{feff} var x_1 = {{ \"a\\\"items\": [{{\"}}\": \"]\"}}], \"items\": [ {} ,\n{},null, -1.5,\"}}\\\\\\\"\",[[1]],{{\"s\":\"\\\\\"}}], \"n\":1, \"z\":{{}} }} ; \n",
        job("a]}"),
        job("\\u00e9\\\"{")
    );
    let body = body.as_bytes();
    let whole = split(&[body]).unwrap();
    assert_eq!(whole.len(), 7, "{whole:?}");
    let (runs, stats) = read(&[body]).unwrap();
    assert_eq!((runs.len(), stats.items, stats.bad), (2, 7, 5), "{stats:?}");
    assert_eq!(
        stats.bad_items[0],
        "items[2]: expected a ProwJob, which is an object"
    );
    for at in 0..=body.len() {
        let (left, right) = body.split_at(at);
        assert_eq!(split(&[left, right]).as_ref(), Ok(&whole), "{at}");
        let cut = read(&[left, right]).unwrap();
        assert_eq!((&cut.0, &cut.1), (&runs, &stats), "{at}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(split(&bytes), Ok(whole));
    assert_eq!(read(&bytes).unwrap(), (runs, stats));
}

#[test]
fn every_body_of_deck_is_read() {
    for (file, items) in [
        ("prowjobs.json", 31),
        ("prowjobs-omit-all.json", 31),
        ("prowjobs-empty.json", 0),
    ] {
        let body = std::fs::read(format!("tests/data/prow/deck/{file}")).unwrap();
        let expected = parse::document(&body, Source::Deck, now()).unwrap();
        for size in [1, 7, 1000, 1 << 20] {
            let (runs, stats) = read(&body.chunks(size).collect::<Vec<_>>()).unwrap();
            assert_eq!(stats.items, items, "{file}");
            assert_eq!(stats.bad, 0, "{file}");
            assert_eq!(runs, expected.observations, "{file} {size}");
        }
    }
    let script = std::fs::read("tests/data/prow/deck/prowjobs.js-var-allBuilds.js").unwrap();
    assert_eq!(read(&[&script]).unwrap().1.bad, 0);
}

#[test]
fn what_is_no_whole_list_is_an_error() {
    for (body, error) in [
        ("", SplitError::Empty),
        (" \n", SplitError::Empty),
        ("<!doctype html>", SplitError::Html),
        ("upstream connect error", SplitError::NotJson),
        ("vain words", SplitError::NotJson),
        ("[]", SplitError::NotJson),
        ("null", SplitError::NotJson),
        ("{}", SplitError::NoItems),
        (r#"{"error":"x"}"#, SplitError::NoItems),
        (r#"{"a":{"items":[]}}"#, SplitError::NoItems),
        (r#"{"items":{}}"#, SplitError::NoItems),
        (r#"{"items":"x"}"#, SplitError::NoItems),
        (r#"{"items":[]"#, SplitError::Truncated),
        (r#"{"items":[{"#, SplitError::Truncated),
        (r#"{"items":["#, SplitError::Truncated),
        (r#"{"ite"#, SplitError::Truncated),
        ("{", SplitError::Truncated),
        (r#"{"items":[]}{}"#, SplitError::Trailing),
        (r#"{"items":[]};;"#, SplitError::Trailing),
        (r#"{"items":[]}<html>"#, SplitError::Trailing),
        (r#"{"items":[1 2]}"#, SplitError::Malformed),
        (r#"{"items":[1,]}"#, SplitError::Malformed),
        (r#"{"items":[,1]}"#, SplitError::Malformed),
        (r#"{"items" []}"#, SplitError::Malformed),
        (r#"{"a":,"items":[]}"#, SplitError::Malformed),
        (r#"{"items":[]]"#, SplitError::Malformed),
    ] {
        assert_eq!(split(&[body.as_bytes()]), Err(error), "{body}");
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(split(&bytes), Err(error), "{body}");
    }
    assert_eq!(split(&[br#"{"items":null}"#]), Ok(vec![]));
}

#[test]
fn items_too_long_are_passed_over_and_reported() {
    let long = format!(r#"{{"x":"{}"}}"#, "y".repeat(5 << 20));
    let body = format!(r#"{{"items":[{},{long},{}]}}"#, job("a"), job("b"));
    for size in [64 << 10, 1 << 20] {
        let (runs, stats) = read(&body.as_bytes().chunks(size).collect::<Vec<_>>()).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!((stats.items, stats.bad), (3, 1));
        assert_eq!(
            stats.bad_items,
            ["items[1]: longer than 4 MiB, which no ProwJob is"]
        );
    }
}

#[test]
fn bad_items_are_counted_and_the_first_ten_described() {
    let body = format!(r#"{{"items":[{}{}]}}"#, "{},".repeat(50), job("a"));
    let (runs, stats) = read(&[body.as_bytes()]).unwrap();
    assert_eq!((runs.len(), stats.bad, stats.bad_items.len()), (1, 50, 10));
    assert_eq!(stats.bad_items[9], "items[9].metadata.name is missing");
}

#[test]
fn addresses_keep_their_path_and_hide_their_password() {
    for (text, shown, page) in [
        (
            "https://prow.ack.aws.dev",
            "https://prow.ack.aws.dev",
            "https://prow.ack.aws.dev/x",
        ),
        (
            "http://u:p@h:8080/prow?a=1#b",
            "http://h:8080/prow",
            "http://u:p@h:8080/prow/x",
        ),
        (" https://h/a/b/ ", "https://h/a/b", "https://h/a/b/x"),
    ] {
        let deck: DeckUrl = text.parse().unwrap();
        assert_eq!(deck.to_string(), shown);
        assert_eq!(format!("{deck:?}"), shown);
        assert_eq!(deck.page("x").as_str(), page);
    }
    for text in [
        "prow.example.com",
        "ftp://h",
        "file:///etc/passwd",
        "https://",
        "",
    ] {
        assert!(text.parse::<DeckUrl>().is_err(), "{text}");
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = "([\\[\\]{},:\"\\\\ a-c\u{e9}\n\u{1f600}]|\\PC){0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn elements_are_those_that_serde_json_sees(
        items in prop::collection::vec(json_value(), 0..6),
        before in json_value(),
        pretty in any::<bool>(),
        size in 1_usize..40,
    ) {
        let list = serde_json::json!({"before": before, "items": items, "z": 1});
        let body = if pretty { format!("{list:#}") } else { list.to_string() };
        let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        let elements = split(&chunks).unwrap();
        let read: Vec<serde_json::Value> = elements
            .iter()
            .map(|element| serde_json::from_str(element).unwrap())
            .collect();
        prop_assert_eq!(read, items);
    }
}

fn http() -> reqwest::Client {
    // Fails only when another test has set it.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A stand-in with this many runs, enough of them to be compressed and to come in several pieces.
async fn standin(jobs: usize) -> (DeckStandin, DeckUrl) {
    let standin = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    let job = |number| Job::new("s3-controller", &format!("job-{number}"), "main", now());
    standin.set_jobs((0..jobs).map(|number| job(number).to_json()).collect());
    let deck = standin.url().parse().unwrap();
    (standin, deck)
}

async fn list_runs(
    deck: &DeckUrl,
    timeout: Duration,
) -> (Vec<Observation>, Result<ListStats, DeckError>) {
    let mut runs = Vec::new();
    let stats = list(&http(), deck, timeout, now(), |run| runs.push(run)).await;
    (runs, stats)
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_list_and_its_runs_are_read() {
    let (standin, deck) = standin(500).await;
    let (runs, stats) = list_runs(&deck, SOON).await;
    let stats = stats.unwrap();
    assert_eq!((stats.items, stats.bad, runs.len()), (500, 0, 500));
    assert!(stats.bytes > 500_000, "{} after decompression", stats.bytes);
    assert!(!runs[0].labels.is_empty() && runs[0].is_finished());
    let one = prowjob(&http(), &deck, &runs[7].run, SOON, now())
        .await
        .unwrap();
    let mut one = one.unwrap();
    assert_eq!(one.artifacts.decorated, Some(true));
    // The list is asked for without decoration, a single run is whole.
    one.artifacts = runs[7].artifacts.clone();
    assert_eq!(one, runs[7]);
    let none = prowjob(&http(), &deck, &RunName("no".to_owned()), SOON, now())
        .await
        .unwrap();
    assert_eq!(none, None);
    assert_eq!(
        (standin.requests().list, standin.requests().prowjob),
        (1, 2)
    );
}

#[tokio::test]
async fn every_fault_is_an_error_in_words() {
    let (standin, deck) = standin(300).await;
    let answer = |status, content_type: &str, body: &str| Fault::Answer {
        status,
        content_type: content_type.to_owned(),
        body: body.to_owned(),
    };
    let json = "application/json";
    for (fault, expected) in [
        (
            answer(200, "text/html; charset=utf-8", "<html>"),
            "an HTML page came",
        ),
        (
            answer(200, "", "<!doctype html><p>Sign in"),
            "an HTML page came",
        ),
        (
            answer(200, json, "<html>502 Bad Gateway"),
            "an HTML page came",
        ),
        (answer(200, json, "{}"), "the answer has no items"),
        (answer(200, json, ""), "the answer is empty"),
        (
            answer(200, "text/plain", "upstream error"),
            "what came is not a JSON object",
        ),
        (
            answer(200, json, "{\"items\":[]} more"),
            "the list is followed by something else",
        ),
        (
            answer(404, "text/plain", "no"),
            "it answered 404 Not Found; the address has no deck behind it",
        ),
        (
            answer(401, json, "{}"),
            "it answered 401 Unauthorized; it wants a login",
        ),
        (
            answer(503, "text/html", "<html>"),
            "it answered 503 Service Unavailable; the next poll tries again",
        ),
        (
            answer(304, "", ""),
            "it redirected, most likely to a login page",
        ),
        (
            Fault::Redirect(format!("{}/view/login", standin.url())),
            "it redirected, most likely to a login page",
        ),
        (Fault::Truncate(100_000), "the answer broke off"),
        (Fault::Truncate(0), "the answer broke off"),
        (Fault::Cut(100_000), "the list ends in the middle"),
    ] {
        standin.set_fault(Some(fault.clone()));
        let (_, stats) = list_runs(&deck, SOON).await;
        let error = stats.unwrap_err().to_string();
        let start = format!("cannot read the list of ProwJobs from {deck}: {expected}");
        assert!(error.starts_with(&start), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn what_came_before_the_answer_broke_off_holds() {
    let (standin, deck) = standin(300).await;
    standin.set_fault(Some(Fault::Truncate(200_000)));
    let (runs, stats) = list_runs(&deck, SOON).await;
    assert!(matches!(stats.unwrap_err().problem, DeckProblem::Broken(_)));
    assert!(!runs.is_empty());
}

#[tokio::test]
async fn a_silent_deck_runs_into_the_timeout() {
    let (standin, deck) = standin(300).await;
    for sent in [0, 200_000] {
        standin.set_fault(Some(Fault::Hang(sent)));
        let error = list_runs(&deck, Duration::from_millis(50)).await.1;
        let problem = error.unwrap_err().problem;
        assert!(matches!(problem, DeckProblem::Timeout), "{sent}: {problem}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let (standin, deck) = standin(0).await;
    standin.stop().await;
    let error = list_runs(&deck, SOON).await.1.unwrap_err();
    assert!(
        matches!(error.problem, DeckProblem::Unreachable(_)),
        "{error}"
    );
}

#[tokio::test]
async fn a_faulty_prowjob_is_an_error_and_not_absent() {
    let (standin, deck) = standin(1).await;
    let name = RunName("x".to_owned());
    for (status, content_type, body) in [
        (200, "text/html", "<html>"),
        (404, "text/html", "<html>"),
        (200, "text/plain", "<html>"),
        (200, "text/plain", ""),
        (200, "text/plain", "metadata: {}"),
        (200, "text/plain", ":\n- ]"),
        (500, "text/plain", "x"),
    ] {
        standin.set_fault(Some(Fault::Answer {
            status,
            content_type: content_type.to_owned(),
            body: body.to_owned(),
        }));
        let answer = prowjob(&http(), &deck, &name, SOON, now()).await;
        assert!(
            answer.is_err(),
            "{status} {content_type} {body}: {answer:?}"
        );
    }
}
