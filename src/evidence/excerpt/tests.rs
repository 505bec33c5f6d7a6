//! Small logs, each with the one line that decides.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::evidence::{rules::LogRule, signature::signature};

fn log(text: impl Into<Vec<u8>>) -> LogText {
    LogText {
        file: "build-log.txt".to_owned(),
        bytes: text.into(),
        first_line: Some(1),
        starts_line: true,
    }
}

fn read(text: &str) -> Reading {
    read_log(&log(text), &LogRules::builtin()).unwrap()
}

/// Number, text and class of the deciding line.
fn decided(text: &str) -> (u64, String, &'static str) {
    let reading = read(text);
    let line = reading.lines[reading.deciding].clone();
    (line.number.unwrap(), line.text, reading.class.as_str())
}

#[test]
fn the_first_error_of_a_compiler_decides_and_the_others_are_shown() {
    let reading = read(
        "+ go build ./...\n# example.com/x\na.go:1:2: undefined: A\nb.go:3:4: undefined: B\nmake: *** [Makefile:3: build] Error 2\n",
    );
    assert_eq!(reading.class, CauseClass::Compile);
    assert_eq!(reading.rule.as_deref(), Some("go-compile"));
    assert_eq!(reading.deciding, 2);
    assert_eq!(reading.lines.len(), 5);
    assert_eq!(reading.lines[2].number, Some(3));
}

#[test]
fn the_last_step_that_failed_decides() {
    let text = "+ helm lint a\nError: chart \"a\" is bad\n+ git push origin main\n ! [rejected] main -> main (fetch first)\nerror: failed to push some refs\n";
    assert_eq!(decided(text).0, 4);
    assert_eq!(decided(text).2, "git");
}

#[test]
fn a_network_error_that_was_retried_gives_way_to_what_came_after() {
    let text = "fetching index\ndial tcp 10.0.0.1:443: i/o timeout\nretrying in 5 seconds\nindex fetched\nError: chart \"x\" version \"1.0.0\" is bad\n";
    assert_eq!(decided(text).0, 5);
    let mut far = "dial tcp 10.0.0.1:443: i/o timeout\n+ make release\n".to_owned();
    (0..40).for_each(|n| writeln!(far, "step {n} done").unwrap());
    far.push_str("ERROR: the release is broken\n");
    assert_eq!(decided(&far).1, "ERROR: the release is broken");
}

#[test]
fn the_last_of_several_tries_decides() {
    let text = "attempt 1/2: dial tcp 10.0.0.1:443: connection refused\nattempt 2/2: dial tcp 10.0.0.1:443: connection refused\n";
    assert_eq!(decided(text).0, 2);
    assert_eq!(decided(text).2, "network");
}

#[test]
fn a_vague_line_gives_way_to_the_reason_above_it() {
    let text = "+ buildah push x\nError: writing blob: denied: token has expired\n+ echo failed\nERROR: image build failed\n";
    assert_eq!(decided(text).2, "auth");
}

#[test]
fn what_fails_while_tidying_up_decides_only_alone() {
    let tail = "+ cleanup\n+ docker rm -f x\nError response from daemon: No such container: x\n+ kubectl delete ns y\nerror: context \"kind\" does not exist\n";
    let text = format!("+ go vet ./...\na.go:1:2: unreachable code\n{tail}");
    assert_eq!(decided(&text).2, "compile");
    let tidying = "+ cleanup\n+ kubectl delete ns y\nerror: the server is gone\n";
    assert_eq!(decided(tidying).1, "error: the server is gone");
}

#[test]
fn removing_what_is_not_there_is_no_reason() {
    let tail = "Error response from daemon: No such container: x\nerror: context \"kind\" does not exist\n";
    let text = format!("ERROR: no chart for the release\n{tail}");
    assert_eq!(decided(&text).1, "ERROR: no chart for the release");
    assert_eq!(read(tail).rule, None);
}

#[test]
fn what_a_broken_pipe_or_download_leaves_missing_is_no_reason() {
    let denied = "An error occurred (AccessDenied) when calling the AssumeRole operation: no";
    let text = format!(
        "++ aws sts assume-role\n{denied}\n++ jq .Credentials\njq: error (at <stdin>:0): null\n"
    );
    assert_eq!(decided(&text).1, denied);
    let text = "+ curl -fsSLo x.tgz https://example.org/x.tgz\ncurl: (7) Failed to connect to example.org port 443\n+ tar xf x.tgz\ntar: x.tgz: Cannot open: No such file or directory\n";
    assert_eq!(decided(text).2, "network");
    let alone = "+ tar xf x.tgz\ntar: x.tgz: Cannot open: No such file or directory\n";
    assert_eq!(decided(alone).2, "configuration");
}

#[test]
fn what_was_tried_until_a_script_gave_up_is_the_reason() {
    let denied = "denied: Your authorization token has expired. Reauthenticate and try again.";
    let text = format!(
        "{denied}\nattempt 1 failed, retrying in 2s\n{denied}\nattempt 2 failed, retrying in 4s\npublish.sh] [ERROR] cannot publish. Exiting\n"
    );
    assert_eq!((decided(&text).0, decided(&text).2), (3, "auth"));
}

#[test]
fn prows_own_word_decides_and_its_wrappers_do_not() {
    let json = |message: &str| {
        format!(
            "{{\"component\":\"entrypoint\",\"level\":\"error\",\"msg\":\"{message}\",\"severity\":\"error\"}}\n"
        )
    };
    let timeout = json("Process did not finish before 2h0m0s timeout");
    let text = format!(
        "error: something\n{timeout}Error: building at STEP \"RUN make\": exit status 143\n{}",
        json("Process did not exit before 15m0s grace period")
    );
    assert_eq!((decided(&text).0, decided(&text).2), (2, "timeout"));
    let wrapped = format!(
        "a.go:1:2: undefined: A\n{}",
        json("Error executing test process")
    );
    assert_eq!(decided(&wrapped).2, "compile");
    let interrupted = json("Entrypoint received interrupt: terminated");
    assert_eq!(decided(&interrupted).2, "infrastructure");
}

#[test]
fn without_a_rule_the_last_lines_that_are_not_noise_are_shown() {
    let mut text = String::new();
    (0..30).for_each(|n| writeln!(text, "line {n}\n+ command {n}").unwrap());
    text.push_str("make: *** [Makefile:4: x] Error 1\nmake: Leaving directory '/x'\n");
    let reading = read(&text);
    assert_eq!(
        (reading.class, reading.rule.as_deref()),
        (CauseClass::Unclassified, None)
    );
    assert!(reading.score < DECIDES);
    assert_eq!(reading.lines.len(), LAST);
    assert!(
        reading
            .lines
            .iter()
            .all(|line| !line.text.starts_with("+ "))
    );
    assert_eq!(reading.lines[reading.deciding].number, Some(61));
}

#[test]
fn a_log_without_a_line_says_nothing() {
    for empty in ["", "\n\n", " \t\r\n"] {
        assert_eq!(read_log(&log(empty), &LogRules::builtin()), None);
    }
}

#[test]
fn numbers_are_those_of_the_file() {
    let mut part = log("half a line\nfine\na.go:1:2: undefined: A\n");
    part.starts_line = false;
    part.first_line = Some(100);
    let reading = read_log(&part, &LogRules::builtin()).unwrap();
    assert_eq!(reading.lines[reading.deciding].number, Some(102));
    part.first_line = None;
    let reading = read_log(&part, &LogRules::builtin()).unwrap();
    assert!(reading.lines.iter().all(|line| line.number.is_none()));
    let dull = log("a\n\n\nb\r\nc\n");
    let reading = read_log(&dull, &LogRules::builtin()).unwrap();
    let numbers: Vec<_> = reading
        .lines
        .iter()
        .map(|line| line.number.unwrap())
        .collect();
    assert_eq!(numbers, [1, 4, 5]);
}

#[test]
fn a_cause_far_above_the_end_is_found_when_the_end_says_nothing() {
    let mut text = "fine\n".repeat(1000);
    text.push_str("a.go:1:2: undefined: A\n");
    text.push_str(&"fine, and a little longer than that\n".repeat(100_000));
    assert!(text.len() > 3 * TAIL);
    assert_eq!(decided(&text).0, 1001);
}

#[test]
fn lines_that_repeat_are_shown_once() {
    let reading = read("a.go:1:2: undefined: A\nsame\nsame\nsame\nother\n");
    let texts: Vec<_> = reading
        .lines
        .iter()
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(texts, ["a.go:1:2: undefined: A", "same", "other"]);
}

#[test]
fn a_rule_of_the_configuration_goes_first_even_in_noise() {
    let rule = LogRule {
        name: "mirror".into(),
        pattern: r"mirror \S+ is behind".into(),
        weight: 100,
        class: CauseClass::Registry,
    };
    let rules = LogRules::with(vec![rule]).unwrap();
    let text =
        "WARNING: mirror eu is behind\n/x: no space left on device\nWARNING: mirror us is behind\n";
    let reading = read_log(&log(text), &rules).unwrap();
    assert_eq!(reading.rule.as_deref(), Some("mirror"));
    assert_eq!(reading.deciding, 0);
}

/// Text that looks like a log often enough to reach every branch.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[ -~]{0,80}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..60),
        Just(b"\x1b[31mError: denied: no\x1b[0m".to_vec()),
        Just(b"+ cleanup".to_vec()),
        Just(b"STEP 3/4: RUN x".to_vec()),
        Just(b"a.go:1:2: undefined: A".to_vec()),
        Just(b"dial tcp 1.2.3.4:5: i/o timeout".to_vec()),
        Just(b"retrying in 3s".to_vec()),
        Just(b"10%\r20%\r100%".to_vec()),
        Just(vec![b'x'; 5_000]),
        Just("\u{202e}ERROR: \u{200b}x ".repeat(90).into_bytes()),
    ];
    proptest::collection::vec(line, 0..60).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_within_bounds(
        bytes in prop_oneof![lines(), proptest::collection::vec(any::<u8>(), 0..3000)],
        first_line in proptest::option::of(1..1000_u64),
        starts_line: bool,
    ) {
        let log = LogText { file: "x".to_owned(), bytes, first_line, starts_line };
        if let Some(reading) = read_log(&log, &LogRules::builtin()) {
            prop_assert!(reading.lines.len() <= MAX_EXCERPT_LINES);
            prop_assert!(reading.deciding < reading.lines.len());
            for line in &reading.lines {
                prop_assert!(line.text.chars().count() <= KEPT_CHARS);
                prop_assert!(!line.text.chars().any(|c| c.is_control() && c != '\t'));
            }
            let numbers: Vec<u64> = reading.lines.iter().filter_map(|line| line.number).collect();
            prop_assert!(numbers.is_sorted());
            prop_assert_eq!(numbers.len(), if first_line.is_some() { reading.lines.len() } else { 0 });
        }
    }

    #[test]
    fn a_signature_does_not_see_colours_and_times(line in "[a-z][a-zA-Z/:.'\"=-]{0,12}( [a-zA-Z0-9/:.'\"=-]{1,12}){0,8}") {
        let plain = signature(CauseClass::Git, &line);
        let coloured = format!("\u{1b}[31m{}\u{1b}[0m", line.replacen(' ', " \u{1b}[1m", 1));
        prop_assert_eq!(&signature(CauseClass::Git, &coloured), &plain);
        let stamped = format!("2026-11-21T06:41:00.123Z {line}");
        prop_assert_eq!(&signature(CauseClass::Git, &stamped), &plain);
    }
}
