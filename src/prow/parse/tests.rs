//! Proves that ProwJobs are read as Prow writes them, and that odd ones do no harm.

use super::*;

fn now() -> Timestamp {
    "2026-08-20T12:00:00Z".parse().unwrap()
}

fn data(path: &str) -> Vec<u8> {
    std::fs::read(format!("tests/data/prow/{path}")).unwrap()
}

fn read(json: &str) -> Result<Observation, ParseError> {
    observation(json.as_bytes(), Source::Webhook, now())
}

fn parsed(text: impl AsRef<[u8]>) -> Parsed {
    document(text.as_ref(), Source::File, now()).unwrap()
}

const MINIMAL: &str = r#"{"metadata":{"name":"n"},"spec":{"job":"j","type":"postsubmit"}}"#;

#[test]
fn every_sample_is_read_in_full() {
    let mut seen = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir("tests/data/prow/prowjobs")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert_eq!(paths.len(), 32);
    for path in paths {
        let run = observation(&std::fs::read(&path).unwrap(), Source::File, now()).unwrap();
        let file = path.file_stem().unwrap().to_str().unwrap();
        let mut words = file.splitn(4, '-').skip(1);
        assert_eq!(words.next(), Some(run.job_type.as_str()), "{file}");
        assert_eq!(words.next(), Some(run.state.as_str()), "{file}");
        assert!(run.job.starts_with(words.next().unwrap()), "{file}");
        assert!(run.started_at.is_some(), "{file}");
        seen.push(format!(
            "{} {} {}/{}@{} {} {}",
            run.run,
            run.job,
            run.org(),
            run.repo(),
            run.base_ref(),
            run.build_id.as_deref().unwrap_or("-"),
            if run.is_finished() {
                "finished"
            } else {
                "going on"
            },
        ));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn a_failed_release_job_has_all_its_fields() {
    let run = observation(
        &data("prowjobs/01-postsubmit-failure-s3-post-submit.json"),
        Source::Webhook,
        now(),
    );
    insta::assert_json_snapshot!(run.unwrap());
}

#[test]
fn a_pull_request_is_kept() {
    let run = observation(
        &data("prowjobs/20-presubmit-failure-s3-kind-e2e.json"),
        Source::File,
        now(),
    );
    let pull = run.unwrap().refs.unwrap().pull.unwrap();
    assert_eq!(pull.number, 103);
    assert!(!pull.author.is_empty() && !pull.sha.is_empty());
}

#[test]
fn the_full_job_name_is_taken_from_the_spec() {
    let run = observation(
        &data("prowjobs/31-postsubmit-failure-s3-a-very-long-postsubmit-jo.json"),
        Source::File,
        now(),
    )
    .unwrap();
    assert!(run.job.len() > 63, "{}", run.job);
    assert!(run.labels["prow.k8s.io/job"].len() <= 63);
}

#[test]
fn odd_values_count_as_absent() {
    for (odd, why) in [
        (r#""labels":null"#, "null labels"),
        (r#""labels":[1]"#, "labels as a list"),
        (r#""annotations":"x""#, "annotations as text"),
        (r#""creationTimestamp":null"#, "no time"),
        (r#""creationTimestamp":{"a":1}"#, "time as an object"),
        (
            r#""creationTimestamp":"0001-01-01T00:00:00Z""#,
            "Go's zero time",
        ),
        (
            r#""unknown":[[{"a":[null,true,1e400]}]]"#,
            "an unknown field",
        ),
    ] {
        let json = format!(
            r#"{{"metadata":{{"name":"n",{odd}}},"spec":{{"job":"j","type":"postsubmit"}}}}"#
        );
        let mut plain = read(MINIMAL).unwrap();
        plain.seen_at = now();
        assert_eq!(read(&json).unwrap(), plain, "{why}");
    }
    for spec in [
        r#""refs":null"#,
        r#""refs":[]"#,
        r#""refs":"x""#,
        r#""refs":{"org":"","repo":""}"#,
        r#""cluster":"""#,
        r#""cluster":null"#,
        r#""pod_spec":17"#,
        r#""extra_refs":{"a":1}"#,
    ] {
        let json = format!(
            r#"{{"metadata":{{"name":"n"}},"spec":{{"job":"j","type":"postsubmit",{spec}}},"status":null}}"#
        );
        assert_eq!(read(&json).unwrap(), read(MINIMAL).unwrap(), "{spec}");
    }
}

#[test]
fn unknown_words_are_kept_and_never_final() {
    let run = read(
        r#"{"metadata":{"name":"n"},"spec":{"job":"j","type":"cron"},
            "status":{"state":"paused","completionTime":"2026-08-20T10:00:00Z"}}"#,
    )
    .unwrap();
    assert_eq!(run.job_type.as_str(), "cron");
    assert_eq!(run.state.as_str(), "paused");
    assert!(!run.is_finished());
    assert_eq!(run.cluster, "default");
}

#[test]
fn build_ids_are_text_or_number_or_absent() {
    for (json, build_id) in [
        (r#""2090378317919162368""#, Some("2090378317919162368")),
        ("2090378317919162368", Some("2090378317919162368")),
        ("17", Some("17")),
        (r#""""#, None),
        ("null", None),
        ("{}", None),
    ] {
        let json = format!(
            r#"{{"metadata":{{"name":"n"}},"spec":{{"job":"j","type":"periodic"}},"status":{{"build_id":{json},"url":""}}}}"#
        );
        let run = read(&json).unwrap();
        assert_eq!(run.build_id.as_deref(), build_id, "{json}");
        assert_eq!(run.url, None);
    }
}

#[test]
fn entries_with_an_empty_value_are_kept() {
    let run = read(
        r#"{"metadata":{"name":"n","labels":{"a":"","b":"\"\u00e9","c":null,"d":true,"e":{}}},
            "spec":{"job":"j","type":"periodic"}}"#,
    );
    let labels: Vec<_> = run.unwrap().labels.into_iter().collect();
    let expected = [("a", ""), ("b", "\"é"), ("d", "true")];
    assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn errors_say_where() {
    let long = format!(r#"{{"metadata":{{"name":"{}"}}}}"#, "n".repeat(254));
    let list = format!(r#"{{"items":[{MINIMAL},7,{{"metadata":{{"name":""}}}},{MINIMAL}]}}"#);
    for (body, expected) in [
        (
            "",
            "nothing to read: expected a ProwJob, a list of them or a watch event",
        ),
        (
            " <!doctype html>",
            "an HTML page, not ProwJobs: a login page or a failing proxy may stand in between",
        ),
        ("{}", "metadata.name is missing"),
        (r#"{"metadata":{"name":["n"]}}"#, "metadata.name is missing"),
        (
            r#"{"metadata":{"name":"n"},"spec":{"type":"periodic"}}"#,
            "spec.job is missing",
        ),
        (
            r#"{"metadata":{"name":"n"},"spec":{"job":"j"}}"#,
            "spec.type is missing",
        ),
        (
            &long,
            "metadata.name is longer than the 253 bytes that Kubernetes allows",
        ),
        (
            r#"{"type":"ADDED","object":{}}"#,
            "object.metadata.name is missing",
        ),
        (
            r#"{"type":"GONE","object":{}}"#,
            "type is no watch event type: expected ADDED, MODIFIED, DELETED, BOOKMARK or ERROR",
        ),
        (
            r#"{"metadata":"#,
            "not readable as a ProwJob: EOF while parsing a value at line 1 column 12",
        ),
    ] {
        let error = document(body.as_bytes(), Source::File, now()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{body}");
    }
    let list = parsed(&list);
    assert_eq!(list.observations.len(), 2, "the good ones are given");
    assert_eq!(
        list.problems,
        [
            "items[1]: expected a ProwJob, which is an object",
            "items[2].metadata.name is missing"
        ]
    );
    let lines = parsed(format!("{MINIMAL}\n{{\"items\":[{{}}]}}\n[{{}}]\n{{\"a\":"));
    assert_eq!(
        lines.problems,
        [
            "document 2.items[0].metadata.name is missing",
            "document 3[0].metadata.name is missing",
            "document 4: not readable as a ProwJob: EOF while parsing a value at line 1 column 5",
        ]
    );
}

#[test]
fn every_form_of_document_gives_its_runs() {
    let list = format!(r#"{{"items":[{MINIMAL},{MINIMAL}]}}"#);
    for (body, runs) in [
        (MINIMAL.to_owned(), 1),
        (list.clone(), 2),
        (r#"{"items":[]}"#.to_owned(), 0),
        (r#"{"items":null}"#.to_owned(), 0),
        (format!("var allBuilds = {list};"), 2),
        (format!("\u{feff}var x={list}\n;\n").replace("\n;", ";"), 2),
        (format!(r#"{{"type":"ADDED","object":{MINIMAL}}}"#), 1),
        (format!(r#"{{"type":"MODIFIED","object":{MINIMAL}}}"#), 1),
        (format!(r#"{{"type":"DELETED","object":{MINIMAL}}}"#), 0),
        (r#"{"type":"ERROR","object":{"code":410}}"#.to_owned(), 0),
        (format!("{MINIMAL}\n{list}\n{MINIMAL}\n"), 4),
        (format!("[{MINIMAL},{list},{MINIMAL}]"), 4),
        ("[]".to_owned(), 0),
    ] {
        let parsed = parsed(&body);
        assert_eq!(parsed.observations.len(), runs, "{body}");
        assert_eq!(parsed.problems, [""; 0], "{body}");
    }
    for (path, runs) in [
        ("deck/prowjobs.json", 31),
        ("deck/prowjobs-omit-all.json", 31),
        ("deck/prowjobs-empty.json", 0),
        ("deck/prowjob.yaml", 1),
        ("watch/prowjobs-watch.ndjson", 5),
    ] {
        let parsed = parsed(data(path));
        assert_eq!(parsed.observations.len(), runs, "{path}");
        assert_eq!(parsed.problems, [""; 0], "{path}");
    }
}

#[test]
fn yaml_says_the_same_as_json() {
    let json = parsed(data("prowjobs/01-postsubmit-failure-s3-post-submit.json"));
    assert_eq!(parsed(data("deck/prowjob.yaml")), json);
}

#[test]
fn yaml_scalars_stay_as_written() {
    let yaml = "---\n# a comment\nmetadata:\n  name: 007\n  labels: {a: 1.10, b: null, c: yes}\nspec:\n  \
                job: 1e3\n  type: postsubmit\n  refs:\n    org: o\n    repo: r\n    base_ref: 1.10\n    \
                base_sha: 12e4567\n    pulls:\n    - number: 12\n  pod_spec: {deep: [{er: {}}]}\nstatus:\n  \
                build_id: 0123\n---\n---\nmetadata: {}\n---\nmetadata: {name: b}\nspec: {job: j, type: batch}\n";
    let parsed = parsed(yaml);
    assert_eq!(parsed.problems, ["document 2.metadata.name is missing"]);
    let [run, other] = parsed.observations.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(other.run.0, "b");
    assert_eq!((run.run.0.as_str(), run.job.as_str()), ("007", "1e3"));
    assert_eq!(run.base_ref(), "1.10");
    assert_eq!(run.base_sha(), Some("12e4567"));
    assert_eq!(run.build_id.as_deref(), Some("0123"));
    assert_eq!(run.labels["a"], "1.10");
    assert_eq!(run.labels["c"], "yes");
    assert_eq!(run.refs.as_ref().unwrap().pull.as_ref().unwrap().number, 12);
}

#[test]
fn bombs_neither_crash_nor_stall() {
    let depth = 100_000;
    let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    for bomb in [&arrays, &objects] {
        for body in [
            bomb.clone(),
            format!(r#"{{"items":{bomb}}}"#),
            format!(r#"{{"items":[{bomb}]}}"#),
            format!(r#"{{"type":"ADDED","object":{bomb}}}"#),
            format!(r#"{{"metadata":{{"name":{bomb}}},"spec":{bomb},"status":{{"x":{bomb}}}}}"#),
            format!(r#"{{"metadata":{{"labels":{bomb}}},"spec":{{"refs":{{"pulls":[{bomb}]}}}}}}"#),
            "[".repeat(depth),
            format!("metadata: {bomb}"),
            format!("a: {}", "[".repeat(depth)),
            format!("a:\n{}", "- ".repeat(depth)),
        ] {
            // Whatever the answer is, it comes.
            let answer = document(body.as_bytes(), Source::Webhook, now());
            assert!(answer.map_or(0, |parsed| parsed.observations.len()) == 0);
        }
    }
    let deep = format!(
        r#"{{"pod_spec":{arrays},{}"#,
        MINIMAL.trim_start_matches('{')
    );
    assert!(read(&deep).is_ok(), "fields that are not read may be deep");
}

#[test]
fn a_body_is_split_into_no_more_than_it_can_hold_of_prowjobs() {
    let many = 100_000;
    for body in [
        "{}".repeat(many),
        format!("[{}0]", "0,".repeat(many)),
        format!(r#"{{"items":[{}0]}}"#, "0,".repeat(many)),
        format!("[{}]", vec![r#"{"items":[0,0,0,0]}"#; many / 10].join(",")),
    ] {
        let parts = Parts::split(body.as_bytes());
        let held = parts.elements.len();
        assert!(held < 100 + body.len() / 48, "{held} of {}", body.len());
        let read = parts.read(Source::Webhook, now());
        assert!(read.map_or(true, |parsed| !parsed.problems.is_empty()));
    }
    let shortest = r#"{"metadata":{"name":"n"},"spec":{"type":"t","job":"j"}}"#;
    for body in [
        shortest.repeat(1000),
        format!("[{}]", vec![shortest; 1000].join(",")),
        format!(r#"{{"items":[{}]}}"#, vec![shortest; 1000].join(",")),
    ] {
        let parsed = parsed(body);
        assert_eq!(
            (parsed.observations.len(), parsed.problems.len()),
            (1000, 0)
        );
    }
}

#[test]
fn bytes_that_are_not_text_are_an_error() {
    for body in [
        &b"{\"metadata\":{\"name\":\"\xff\"},\"spec\":{\"job\":\"j\",\"type\":\"t\"}}"[..],
        b"\xff\xfe",
        b"a: \xff",
    ] {
        assert!(document(body, Source::File, now()).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(text in "[\\[\\]{}\",:a-c\\\\ \n-]{0,80}") {
        drop(document(text.as_bytes(), Source::File, now()));
    }
}
