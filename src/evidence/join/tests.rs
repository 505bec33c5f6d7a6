//! Which evidence wins, that nothing makes it panic, and that no secret gets through.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::evidence::LogLine;

/// Stands for the reading of logs: a line that begins with a class' word and a colon is of that class.
fn read(log: &LogText) -> Option<Reading> {
    let text = String::from_utf8_lossy(&log.bytes);
    let lines: Vec<LogLine> = text
        .lines()
        .zip(1..)
        .map(|(text, number)| LogLine {
            number: Some(number),
            text: text.to_owned(),
        })
        .collect();
    let classes = lines.iter().map(|line| {
        let (word, _) = line.text.split_once(':')?;
        CauseClass::parse(word)
    });
    let decided = classes
        .enumerate()
        .find_map(|(index, class)| Some((index, class?)));
    let (deciding, class) =
        decided.unwrap_or((lines.len().checked_sub(1)?, CauseClass::Unclassified));
    Some(Reading {
        class,
        rule: decided.map(|_| "stand-in".to_owned()),
        score: 90,
        ends_badly: decided.is_some_and(|(index, _)| index + 1 == lines.len()),
        file: log.file.clone(),
        whole_line: lines.get(deciding)?.text.clone(),
        lines,
        deciding,
    })
}

fn sign(class: CauseClass, line: &str) -> Signature {
    Signature(format!("{class}/{line}"))
}

fn examined(remains: &Remains) -> Examination {
    examine_with(remains, &Redactor::default(), &read, &sign)
}

fn log(text: &str) -> LogText {
    LogText {
        file: "build-log.txt".to_owned(),
        bytes: text.as_bytes().to_vec(),
        first_line: Some(1),
        starts_line: true,
    }
}

fn found(remains: &Remains) -> Evidence {
    match examined(remains).finding {
        Finding::Found(evidence) => evidence,
        other => panic!("{other:?}"),
    }
}

const JUNIT: &str =
    r#"<testsuite><testcase name="TestA"><failure message="want 1"/></testcase></testsuite>"#;

fn oom() -> Vec<u8> {
    json!({"pod": {"status": {"phase": "Failed", "containerStatuses": [
        {"name": "test", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}})
    .to_string()
    .into_bytes()
}

fn killed() -> Vec<u8> {
    String::from_utf8(oom())
        .unwrap()
        .replace("OOMKilled", "Error")
        .into_bytes()
}

fn clone_failed() -> Vec<u8> {
    json!([{"failed": true, "commands": [{"command": "git fetch", "output": "fatal: no", "error": "exit status 128"}]}])
        .to_string()
        .into_bytes()
}

type Change = fn(&mut Remains);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_right_evidence_wins() {
    let all = || Remains {
        description: "Job failed.".to_owned(),
        finished: Some(br#"{"result":"ABORTED"}"#.to_vec()),
        podinfo: Some(killed()),
        junit: vec![("artifacts/junit.xml".to_owned(), JUNIT.into())],
        logs: vec![log("x\ncompile: undefined")],
        ..Remains::default()
    };
    let with = |change: Change| {
        let mut remains = all();
        change(&mut remains);
        found(&remains)
    };
    let cases: [(&str, Change, Origin, &str); 11] = [
        (
            "a log that explains",
            |_| {},
            Origin::Log,
            "compile: undefined",
        ),
        (
            "a pod out of memory beats the log",
            |r| r.podinfo = Some(oom()),
            Origin::Pod,
            "container test used more memory than it may and was killed (OOMKilled)",
        ),
        (
            "a failed clone beats the log",
            |r| r.clone_records = Some(clone_failed()),
            Origin::Clone,
            "fatal: no",
        ),
        (
            "a firm description beats all",
            |r| r.description = "Pod running timeout.".to_owned(),
            Origin::Description,
            "Pod running timeout.",
        ),
        (
            "a description that the pod explains gives way to it",
            |r| {
                r.description = "Pod pending timeout.".to_owned();
                r.podinfo = Some(oom());
            },
            Origin::Pod,
            "container test used more memory than it may and was killed (OOMKilled)",
        ),
        (
            "a test report beats a log that only says that a test failed",
            |r| r.logs = vec![log("test: --- FAIL: TestA")],
            Origin::Junit,
            "TestA: want 1",
        ),
        (
            "a test report beats a log that says nothing",
            |r| r.logs = vec![log("exit status 1")],
            Origin::Junit,
            "TestA: want 1",
        ),
        (
            "without a report the log's test line stands",
            |r| {
                r.logs = vec![log("test: --- FAIL: TestA")];
                r.junit.clear();
            },
            Origin::Log,
            "test: --- FAIL: TestA",
        ),
        (
            "a kill beats a log that says nothing",
            |r| {
                r.logs = vec![log("exit status 1")];
                r.junit.clear();
            },
            Origin::Pod,
            "container test was killed (exit code 137)",
        ),
        (
            "finished.json comes last",
            |r| {
                r.logs.clear();
                r.junit.clear();
                r.podinfo = None;
            },
            Origin::Finished,
            "the pod was told to stop while the job ran (node shut down, drained or preempted)",
        ),
        (
            "the surest of several logs",
            |r| r.logs = vec![log("nothing"), log("auth: denied"), log("network: reset")],
            Origin::Log,
            "auth: denied",
        ),
    ];
    for (name, change, origin, headline) in cases {
        let evidence = with(change);
        assert_eq!(
            (evidence.origin, evidence.headline.as_str()),
            (origin, headline),
            "{name}"
        );
        assert!(evidence.signature.is_some(), "{name}");
    }
}

#[test]
fn the_end_of_the_log_that_the_pod_kept_stands_in_for_a_missing_log() {
    let pod = json!({"pod": {"status": {"containerStatuses": [{"name": "test", "state": {"terminated":
        {"exitCode": 1, "message": "+ make\ncompile: boom\n"}}}]}}});
    let evidence = found(&Remains {
        podinfo: Some(pod.to_string().into_bytes()),
        ..Remains::default()
    });
    assert_eq!(
        (evidence.class, evidence.headline.as_str()),
        (CauseClass::Compile, "compile: boom")
    );
    assert_eq!(evidence.excerpt.unwrap().file, "podinfo.json (test)");
}

#[test]
fn lines_without_a_rule_are_shown_without_a_signature() {
    let evidence = found(&Remains {
        logs: vec![log("a\nb")],
        ..Remains::default()
    });
    assert_eq!(evidence.class, CauseClass::Unclassified);
    assert_eq!((evidence.rule, evidence.signature), (None, None));
    assert_eq!(evidence.excerpt.unwrap().lines.len(), 2);
}

#[test]
fn what_cannot_be_read_is_said_and_hides_nothing_else() {
    let broken = Remains {
        podinfo: Some(b"<html>".to_vec()),
        clone_records: Some(b"[{".to_vec()),
        junit: vec![("artifacts/junit.xml".to_owned(), b"<a b=\"".to_vec())],
        finished: Some(Vec::new()),
        ..Remains::default()
    };
    assert_eq!(
        examined(&broken).finding,
        Finding::Unreadable(
            "podinfo.json is not JSON (line 1, column 1); clone-records.json is not JSON (line 1, column 2); \
             artifacts/junit.xml is not JUnit's XML from byte 0 on; finished.json is not JSON (line 1, column 0)"
                .to_owned()
        )
    );
    let with_log = Remains {
        logs: vec![log("disk: full")],
        ..broken
    };
    let examination = examined(&with_log);
    assert!(
        matches!(examination.finding, Finding::Found(ref evidence) if evidence.headline == "disk: full")
    );
    assert_eq!(examination.notes.len(), 2);
    assert_eq!(
        examined(&Remains::default()).finding,
        Finding::Nothing("the run left no log and no report".to_owned())
    );
}

fn really_examined(remains: &Remains) -> Examination {
    examine(remains, &LogRules::builtin(), &Redactor::default())
}

/// Everything that leaves, as the store would keep it.
fn leaving(remains: &Remains) -> String {
    let both = [examined(remains), really_examined(remains)];
    let text = |examination: &Examination| {
        serde_json::to_string(&examination.finding).unwrap() + &examination.notes.join("\n")
    };
    both.iter().map(text).collect()
}

fn check_bounds(remains: &Remains) {
    for examination in [examined(remains), really_examined(remains)] {
        let Finding::Found(evidence) = examination.finding else {
            continue;
        };
        assert!(evidence.headline.chars().count() <= 300);
        assert!(!evidence.headline.contains(char::is_control));
        if let Some(excerpt) = evidence.excerpt {
            assert!(excerpt.deciding < excerpt.lines.len());
            assert!(excerpt.lines.len() <= 40);
            assert!(
                excerpt
                    .lines
                    .iter()
                    .all(|line| line.text.chars().count() <= 500)
            );
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[\\[\\]{}<>\":,a-z &;0-9\\n\\\\]{0,200}".prop_map(String::into_bytes),
        Just(oom()),
        Just(clone_failed()),
        Just(JUNIT.as_bytes().to_vec()),
    ]
}

prop_compose! {
    fn any_remains()(
        description in ".{0,60}",
        [finished, podinfo, clone_records] in [
            prop::option::of(bytes()), prop::option::of(bytes()), prop::option::of(bytes())
        ],
        junit in prop::collection::vec((".{0,20}", bytes()), 0..3),
        logs in prop::collection::vec((".{0,20}", bytes(), prop::option::of(any::<u64>()), any::<bool>()), 0..3),
    ) -> Remains {
        let log = |(file, bytes, first_line, starts_line)| LogText { file, bytes, first_line, starts_line };
        Remains {
            description, finished, podinfo, clone_records, junit,
            logs: logs.into_iter().map(log).collect(),
        }
    }
}

/// Secrets that are known wherever they stand, and how they are echoed.
fn planted() -> impl Strategy<Value = (String, String)> {
    let token = ["gh", "p_0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let password = "Zx9-hunter2-swordfish".to_owned();
    prop_oneof![
        Just((token.clone(), token.clone())),
        Just((format!("remote: {token} is no user"), token)),
        Just((format!("+ DB_PASSWORD={password} ./run"), password.clone())),
        Just((
            format!("helm push --password {password} x"),
            password.clone()
        )),
        Just((
            format!("dial postgres://app:{password}@db/app failed"),
            password
        )),
    ]
}

/// A file that shows the line in one of its places.
fn with_line(line: &str, place: usize, before: &str, after: &str) -> Remains {
    let said = format!("{before}\n{line}\n{after}");
    let json = |value: serde_json::Value| Some(value.to_string().into_bytes());
    let mut remains = Remains::default();
    match place {
        0 => remains.description = format!("Terminal error: {said}"),
        1 => remains.logs = vec![log(&format!("{before}\ncompile: {line}\n{after}"))],
        2 => remains.logs = vec![log(&said)],
        3 => {
            let escaped = said.replace('&', "&amp;").replace('<', "&lt;");
            remains.junit = vec![(
                line.to_owned(),
                format!("<testcase name=\"a\"><failure>{escaped}</failure></testcase>")
                    .into_bytes(),
            )];
        }
        4 => {
            remains.clone_records = json(json!([{"failed": true, "commands": [
            {"command": line, "output": said, "error": line}]}]));
        }
        5 => {
            remains.podinfo = json(json!({"pod": {"status": {"containerStatuses": [
            {"name": "t", "image": line, "state": {"waiting": {"reason": "ErrImagePull", "message": said}}}]}}}));
        }
        6 => {
            remains.podinfo = json(json!({"pod": {"status": {"containerStatuses": [
            {"name": "t", "state": {"terminated": {"exitCode": 1, "message": said}}}]}}}));
        }
        _ => remains.finished = json(json!({"metadata": {"error": said}})),
    }
    remains
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_in_any_field_break_it(remains in any_remains()) {
        check_bounds(&remains);
    }

    #[test]
    fn a_planted_secret_never_leaves(
        (line, secret) in planted(), place in 0..8_usize, before in "[a-z .:/=\"-]{0,600}", after in "[a-z .:/=\"-]{0,30}"
    ) {
        let remains = with_line(&line, place, &before, &after);
        let shown = leaving(&remains);
        for start in 0..secret.len() - 8 {
            let piece = secret.get(start..start + 8).unwrap();
            prop_assert!(!shown.contains(piece), "{piece} in {shown}");
        }
        check_bounds(&remains);
    }
}

fn container(name: &str, text: &str) -> LogText {
    LogText {
        file: format!("{name}-build-log.txt"),
        ..log(text)
    }
}

#[test]
fn of_two_containers_the_one_that_failed_is_believed() {
    let logs = vec![
        container("proxy", "network: tolerated"),
        container("test", "compile: a.go\nmake failed"),
    ];
    let pod = json!({"pod": {"status": {"containerStatuses": [
        {"name": "proxy", "state": {"terminated": {"exitCode": 0}}},
        {"name": "test", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}},
    ]}}});
    let known = Remains {
        podinfo: Some(pod.to_string().into_bytes()),
        logs: logs.clone(),
        ..Remains::default()
    };
    assert_eq!(found(&known).headline, "compile: a.go");
    // Without the pod's word, the log that ends with what failed.
    let unknown = Remains {
        logs: vec![
            container("proxy", "network: tolerated\nall is well"),
            container("test", "make begins\ncompile: a.go"),
        ],
        ..Remains::default()
    };
    assert_eq!(found(&unknown).headline, "compile: a.go");
}

#[test]
fn of_two_real_logs_the_one_that_ends_badly_is_believed() {
    let fine = "fetching\ndial tcp 10.0.0.1:443: i/o timeout\n".to_owned() + &"ok\n".repeat(30);
    let bad = "testing\n--- FAIL: TestX (0.1s)\nFAIL\n";
    let remains = Remains {
        logs: vec![container("proxy", &fine), container("test", bad)],
        ..Remains::default()
    };
    let found = explain(&remains, &LogRules::builtin(), &Redactor::default());
    let Finding::Found(evidence) = found else {
        panic!("{found:?}")
    };
    assert_eq!(evidence.class, CauseClass::Test);
}
