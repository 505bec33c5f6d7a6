//! Secrets go, everything else stays.

use proptest::prelude::*;

use super::*;

fn redact(line: &str) -> String {
    Redactor::default().text(line).lines().join("\n")
}

/// Lines with secrets between `«` and `»`. Marks and pieces keep scanners of forges from taking the made-up
/// secrets for real ones.
const SECRETS: &str = include_str!("tests/secrets.txt");
/// Lines that must stay as they are.
const INNOCENT: &str = include_str!("tests/innocent.txt");

fn lines(table: &str) -> impl Iterator<Item = String> {
    table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("## "))
        .map(|line| line.replace('¦', ""))
}

/// Line and its secrets, with `\n` for line breaks.
fn planted(line: &str) -> (String, Vec<String>) {
    let secrets = line
        .split('«')
        .skip(1)
        .filter_map(|part| part.split_once('»'))
        .map(|(secret, _)| secret.replace("⏎", "\n"))
        .collect();
    (line.replace(['«', '»'], "").replace("⏎", "\n"), secrets)
}

/// Pieces of a secret that are still in the text, eight characters long.
fn leaks(text: &str, secret: &str) -> Vec<String> {
    let characters: Vec<char> = secret.chars().collect();
    characters
        .windows(8)
        .map(|window| window.iter().collect::<String>())
        .filter(|piece| !piece.contains('\n') && text.contains(piece.as_str()))
        .collect()
}

#[test]
fn no_secret_of_any_kind_leaves() {
    let mut seen = 0;
    let mut leaked = Vec::new();
    for line in lines(SECRETS) {
        let (line, secrets) = planted(&line);
        assert!(!secrets.is_empty(), "{line}");
        let shown = redact(&line);
        for secret in secrets {
            seen += 1;
            if shown.contains(&secret)
                || !leaks(&shown, &secret).is_empty()
                || !shown.contains(MASK)
            {
                leaked.push(format!("{line}\n  became {shown}"));
            }
        }
    }
    assert!(seen >= 60, "{seen}");
    assert!(
        leaked.is_empty(),
        "{} leaks:\n{}",
        leaked.len(),
        leaked.join("\n")
    );
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    let mut seen = 0;
    let mut changed = Vec::new();
    for line in lines(INNOCENT) {
        seen += 1;
        let shown = redact(&line);
        if shown != line {
            changed.push(format!("{line}\n  became {shown}"));
        }
    }
    assert!(seen >= 60, "{seen}");
    assert!(
        changed.is_empty(),
        "{} changed:\n{}",
        changed.len(),
        changed.join("\n")
    );
}

#[test]
fn enough_of_the_shape_stays_to_be_read() {
    for (raw, shown) in [
        (
            "AWS_SECRET_ACCESS_KEY=abc/def+123",
            "AWS_SECRET_ACCESS_KEY=[redacted]",
        ),
        (
            "git clone https://bob:hunter2@github.com/o/r",
            "git clone https://[redacted]@github.com/o/r",
        ),
        (
            "POST https://hooks.slack.com/services/T0/B0/abc failed",
            "POST https://hooks.slack.com/[redacted] failed",
        ),
        (
            "GET https://b.s3.amazonaws.com/k?X-Amz-Date=20260519T203511Z&X-Amz-Signature=0123abcd&x=1",
            "GET https://b.s3.amazonaws.com/k?X-Amz-Date=20260519T203511Z&X-Amz-Signature=[redacted]&x=1",
        ),
        (
            "+ helm registry login --username u --password 'a b' ghcr.io",
            "+ helm registry login --username u --password '[redacted]' ghcr.io",
        ),
        (
            r#"{"client_secret": "abc def", "x": 1}"#,
            r#"{"client_secret": "[redacted]", "x": 1}"#,
        ),
        (
            "Authorization: Bearer abcdef123456",
            "Authorization: Bearer [redacted]",
        ),
    ] {
        assert_eq!(redact(raw), shown);
    }
}

fn key() -> Vec<String> {
    let body = "MIIEowIBAAKCAQEAx7Yk3mQ+9/ZrT1aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567";
    let mut lines = vec![["-----BEGIN RSA PRIVATE", " KEY-----"].concat()];
    lines.extend((10..30).map(|n| format!("{body}{n}").chars().skip(2).take(64).collect()));
    lines.push("Zk8s0dYxQ2A=".to_owned());
    lines.push(["-----END RSA PRIVATE", " KEY-----"].concat());
    lines
}

#[test]
fn a_private_key_vanishes_wherever_the_window_cuts_it() {
    let key = key();
    let around = |lines: &[String]| {
        let mut all = vec!["+ cat key.pem".to_owned()];
        all.extend_from_slice(lines);
        all.push("make: *** [release] Error 1".to_owned());
        all
    };
    for stamp in ["", "2026-05-19T20:35:11Z "] {
        let key: Vec<String> = key.iter().map(|line| format!("{stamp}{line}")).collect();
        for from in 0..key.len() {
            for to in from + 1..=key.len() {
                let part = &key[from..to];
                // One line of base64 by itself is no sign of a key.
                if part.len() == 1 && !part[0].contains("-----") {
                    continue;
                }
                let redacted = Redactor::default().lines(&around(part));
                let text = redacted.lines().join("\n");
                for line in part.iter().filter(|line| !line.contains("-----")) {
                    let body = line.trim_start_matches(stamp);
                    assert!(
                        leaks(&text, body).is_empty() || part.len() < 3,
                        "{from}..{to}: {text}"
                    );
                }
                assert!(text.starts_with("+ cat key.pem\n"), "{text}");
                assert!(text.ends_with("\nmake: *** [release] Error 1"), "{text}");
                assert_eq!(redacted.lines().len(), part.len() + 2);
            }
        }
    }
}

#[test]
fn secrets_on_the_lines_below_their_key_go_too() {
    for (raw, shown) in [
        (
            "env:\n- name: DB_PASSWORD\n  value: \"hunter2 x\"\n- name: PORT\n  value: \"8080\"",
            "env:\n- name: DB_PASSWORD\n  value: \"[redacted]\"\n- name: PORT\n  value: \"8080\"",
        ),
        (
            "token: |\n  abc\n  def\nother: x",
            "token: |\n[redacted]\n[redacted]\nother: x",
        ),
        (
            "  --password \\\n  hunter2 \\\n  ghcr.io",
            "  --password \\\n[redacted]\n  ghcr.io",
        ),
    ] {
        assert_eq!(redact(raw), shown);
    }
}

#[test]
fn escapes_and_invisible_characters_do_not_hide_a_secret() {
    let token = ["gh", "p_0123456789abcdefghij"].concat();
    for hidden in [
        token.replace("01", "0\u{1b}[1;31m1"),
        token.replace("p_", "p\u{200b}_"),
        token.replace("p_", "p\u{1b}]8;;x\u{7}_"),
        token.replace("p_", "p\u{0}_"),
    ] {
        assert_eq!(
            redact(&format!("x {hidden} y")),
            "x [redacted] y",
            "{hidden:?}"
        );
    }
}

#[test]
fn a_line_that_began_before_the_window_is_taken_out() {
    let log = LogText {
        file: "build-log.txt".to_owned(),
        bytes: b"f0123456789abcdef rest\nError: x".to_vec(),
        first_line: None,
        starts_line: false,
    };
    let bytes = Redactor::default().log(&log).bytes;
    assert_eq!(bytes, b"[redacted]\nError: x");
}

#[test]
fn own_patterns_are_applied_first() {
    let own = OwnPattern {
        name: "badge".to_owned(),
        regex: Regex::new("BADGE-[0-9]+").unwrap(),
    };
    let redactor = Redactor::new(vec![own]);
    assert_eq!(
        redactor.text("see BADGE-77, ok").lines(),
        ["see [redacted], ok"]
    );
}

#[test]
fn cuts_come_after_redaction_and_keep_the_deciding_line() {
    let raw: Vec<String> = (0..100)
        .map(|n| format!("line {n} {}", "é".repeat(600)))
        .collect();
    let redacted = Redactor::default().lines(&raw);
    let numbers: Vec<Option<u64>> = (1..=100).map(Some).collect();
    let excerpt = redacted.excerpt("build-log.txt", &numbers, 90).unwrap();
    assert_eq!(excerpt.lines.len(), 40);
    assert_eq!(excerpt.deciding_line().unwrap().number, Some(91));
    assert!(
        excerpt
            .lines
            .iter()
            .all(|line| line.text.chars().count() == 500)
    );
    assert_eq!(redacted.headline(90).chars().count(), 300);
}

#[test]
fn the_name_of_a_secret_that_is_the_value_of_another_hides_nothing() {
    assert_eq!(
        redact("--secret token: token: B4ad"),
        "--secret [redacted] token: [redacted]"
    );
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing_more(
        parts in prop::collection::vec(prop_oneof![
            "[ -~]{0,20}",
            prop::sample::select(vec!["password=", "token: ", "https://a:b@c/", "\n", "\"", "--secret ", "Bearer ", "'", "\\"])
                .prop_map(str::to_owned),
        ], 0..8)
    ) {
        let once = redact(&parts.concat());
        prop_assert_eq!(redact(&once), once);
    }

    #[test]
    fn any_text_keeps_its_number_of_lines(text in any::<String>()) {
        prop_assert_eq!(Redactor::default().text(&text).lines().len(), text.split('\n').count());
    }
}
