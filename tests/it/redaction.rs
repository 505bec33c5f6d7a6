//! Redaction held against data that was written without knowing its patterns: planted secrets, which must
//! go, and the deciding lines of the corpus, which must stay.

use std::fs;

use prow_notifier::evidence::redact::{MASK, Redactor};

fn redact(line: &str) -> String {
    Redactor::default().text(line).lines().join("\n")
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

/// Written by somebody who did not know the patterns.
#[test]
fn none_of_the_kinds_that_others_planted_leaves() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/secrets.json");
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let joined = |value: &serde_json::Value| -> String {
        let parts = value.as_array().unwrap();
        parts.iter().map(|part| part.as_str().unwrap()).collect()
    };
    let mut leaked = Vec::new();
    for case in &cases {
        let secret = joined(&case["secret"]);
        let around = joined(&case["line"]);
        let line = around.replace("{secret}", &secret);
        let shown = redact(&line);
        // A key may be called as its tokens begin.
        let mut pieces = leaks(&shown, &secret);
        pieces.retain(|piece| !around.contains(piece.as_str()));
        if shown.contains(&secret) || !pieces.is_empty() {
            leaked.push(format!(
                "{}: {line}\n  became {shown}\n  {pieces:?}",
                case["kind"]
            ));
        }
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    assert!(
        leaked.is_empty(),
        "{} leaks:\n{}",
        leaked.len(),
        leaked.join("\n")
    );
}

#[test]
fn the_deciding_lines_of_the_corpus_stay_readable() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/corpus");
    let cases = fs::read_to_string(format!("{folder}/cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let mut changed = Vec::new();
    for case in &cases {
        let file = case["file"].as_str().unwrap();
        let text = fs::read(format!("{folder}/{file}")).unwrap();
        let redacted = Redactor::default().text(&String::from_utf8_lossy(&text));
        let number = case["deciding_line"].as_u64().unwrap();
        let line = &redacted.lines()[usize::try_from(number).unwrap() - 1];
        if line.contains(MASK) {
            changed.push(format!("{file}:{number}: {line}"));
        }
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}
