//! Secrets that span lines: private keys, blocks of YAML, variables whose value stands on the next line.
//! Either end of a key may lie outside of what was read.

use std::sync::LazyLock;

use regex::Regex;

use super::{
    MASK,
    keyed::{Ahead, ahead},
    values::is_plain_value,
};

/// What is to be done with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// Looked at by itself.
    Open,
    /// All of it belongs to a secret.
    Whole,
    /// What stands behind `value:` does.
    Value,
}

/// No private key is longer.
const LONGEST_KEY: usize = 250;
/// No block of YAML is followed further.
const LONGEST_BLOCK: usize = 250;

/// One per line.
pub(super) fn spans(lines: &[String]) -> Vec<Span> {
    let mut spans = vec![Span::Open; lines.len()];
    private_keys(lines, &mut spans);
    bare_keys(lines, &mut spans);
    for (index, line) in lines.iter().enumerate() {
        if let Some(ahead) = may_announce(line).then(|| ahead(line)).flatten() {
            announced(lines, index, &ahead, &mut spans);
        }
    }
    spans
}

fn begins(line: &str) -> bool {
    line.contains("-----BEGIN ") && line.contains("PRIVATE KEY")
}

fn ends(line: &str) -> bool {
    line.contains("-----END ") && line.contains("PRIVATE KEY")
}

fn private_keys(lines: &[String], spans: &mut [Span]) {
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        if begins(line) && !ends(line) {
            let end = key_end(lines, index + 1);
            mark(spans, index + 1..end);
            index = end;
            continue;
        }
        // Of a key whose beginning was not read.
        if ends(line) && !begins(line) {
            let start = (0..index)
                .rev()
                .take(LONGEST_KEY)
                .take_while(|&before| lines.get(before).is_some_and(|line| is_material(line)))
                .last()
                .unwrap_or(index);
            mark(spans, start..index + 1);
        }
        index += 1;
    }
}

/// Behind the last line of a key whose body begins at `from`.
fn key_end(lines: &[String], from: usize) -> usize {
    let body = || lines.iter().enumerate().skip(from).take(LONGEST_KEY);
    let closed = body()
        .take_while(|(_, line)| !begins(line))
        .find(|(_, line)| ends(line))
        .map(|(index, _)| index + 1);
    closed.unwrap_or_else(|| {
        body()
            .find(|(_, line)| !is_material(line))
            .map_or_else(|| lines.len().min(from + LONGEST_KEY), |(index, _)| index)
    })
}

/// The middle of a key, neither end of which was read: lines of nothing but base64, all but the last of one
/// width.
fn bare_keys(lines: &[String], spans: &mut [Span]) {
    let mut index = 0;
    while index < lines.len() {
        let run = lines
            .iter()
            .skip(index)
            .take_while(|line| is_wide_base64(line))
            .count();
        if run >= 2 {
            let last = lines.get(index + run);
            let tail = usize::from(last.is_some_and(|line| is_material(line)));
            mark(spans, index..index + run + tail);
        }
        index += run.max(1);
    }
}

fn mark(spans: &mut [Span], range: std::ops::Range<usize>) {
    for span in spans.get_mut(range).into_iter().flatten() {
        *span = Span::Whole;
    }
}

/// A line of a key's body, also behind a time stamp.
fn is_material(line: &str) -> bool {
    static HEADER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^\s*(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID): ").ok()
    });
    let last = line.split_whitespace().next_back().unwrap_or_default();
    let last = last.trim_matches(['"', '\'', ',', '\\']);
    last.is_empty()
        || is_base64(last, 16)
        || (is_base64(last, 4) && (last.ends_with('=') || line.trim() == last))
        || HEADER.as_ref().is_some_and(|header| header.is_match(line))
}

fn is_wide_base64(line: &str) -> bool {
    let word = line.split_whitespace().next_back().unwrap_or_default();
    is_base64(word, 60)
        && word.len() <= 80
        && word.contains(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
}

fn is_base64(word: &str, least: usize) -> bool {
    word.len() >= least
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

/// A cheap look before the dear one.
fn may_announce(line: &str) -> bool {
    let end = line.trim_end();
    let short = end.len() < 200;
    short && (end.ends_with([':', '|', '>', '\\', '-', '+']) || end.contains("name"))
}

fn announced(lines: &[String], index: usize, ahead: &Ahead, spans: &mut [Span]) {
    let next = lines.get(index + 1);
    match ahead {
        Ahead::Block(indent) => {
            let belongs = |line: &&String| line.trim().is_empty() || indent_of(line) > *indent;
            let length = lines
                .iter()
                .skip(index + 1)
                .take(LONGEST_BLOCK)
                .take_while(belongs)
                .count();
            mark(spans, index + 1..index + 1 + length);
        }
        Ahead::Value => {
            if next.is_some_and(|line| value_start(line).is_some())
                && let Some(span) = spans.get_mut(index + 1)
            {
                *span = Span::Value;
            }
        }
        Ahead::Next => {
            let one_word = |line: &String| {
                let word = line.trim().trim_end_matches(['\\', ',']).trim_end();
                let quoted = word.starts_with(['"', '\'']) && !word.contains("\":");
                (quoted || !word.contains([' ', ':']))
                    && !word.is_empty()
                    && !word.starts_with(['-', '{', '['])
            };
            if next.is_some_and(one_word) {
                mark(spans, index + 1..index + 2);
            }
        }
    }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where the value of `value: ...` begins.
fn value_start(line: &str) -> Option<usize> {
    static VALUE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?i)^\s*["']?value["']?\s*:\s*["']?(?P<value>\S)"#).ok());
    let found = VALUE.as_ref()?.captures(line)?;
    Some(found.name("value")?.start())
}

/// The line with the value of `value: ...` taken out.
pub(super) fn without_value(line: &str) -> String {
    let Some((head, value)) = value_start(line).and_then(|start| line.split_at_checked(start))
    else {
        return MASK.to_owned();
    };
    if is_plain_value(value.trim_matches(['"', '\'', ',', ' '])) {
        return line.to_owned();
    }
    let kept = value.trim_end_matches(['"', '\'', ',', ' ', '}']);
    let tail = value.strip_prefix(kept).unwrap_or_default();
    format!(
        "{head}{MASK}{}",
        tail.get(..tail.len().min(3)).unwrap_or_default()
    )
}
