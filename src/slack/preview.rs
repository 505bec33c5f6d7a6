//! How a message will look, on a terminal and in Slack's Block Kit Builder.

use serde_json::{Value, json};

use super::{
    blocks::LINKS_APART,
    text::{ENTITIES, percent_encode},
};

const FENCE: &str = "```";

/// The message as lines for a terminal, without colours. Text from outside comes out as Slack would show it;
/// it was made harmless when the message was rendered.
pub fn preview_text(payload: &Value) -> String {
    let mut lines = Vec::new();
    match payload.get("blocks").and_then(Value::as_array) {
        Some(blocks) => {
            for block in blocks {
                block_lines(block, &mut lines);
            }
        }
        None => lines.extend(shown_lines(payload.get("text"))),
    }
    let last = lines.len().saturating_sub(1);
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let edge = match number {
            0 => "┌ ",
            _ if number == last => "└ ",
            _ => "│ ",
        };
        out.push_str(format!("{edge}{line}").trim_end());
        out.push('\n');
    }
    out
}

/// Opens the message in Slack's Block Kit Builder, which shows it and checks it.
pub fn builder_url(payload: &Value) -> String {
    let blocks = payload.get("blocks").cloned().unwrap_or_else(|| {
        let text = payload.get("text").cloned().unwrap_or_default();
        json!([{"type": "section", "text": {"type": "mrkdwn", "text": text}}])
    });
    let fragment = percent_encode(&json!({ "blocks": blocks }).to_string());
    format!("https://app.slack.com/block-kit-builder#{fragment}")
}

fn block_lines(block: &Value, lines: &mut Vec<String>) {
    let elements = |key: &str| -> Vec<String> {
        let list = block.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .map(|element| shown_lines(element.get("text")).join(" "))
            .collect()
    };
    if let Some(text) = block.get("text") {
        for line in shown_lines(text.get("text")) {
            lines.extend(line.split(LINKS_APART).map(str::to_owned));
        }
    }
    lines.extend(columns(&elements("fields")));
    let footer = elements("elements");
    if !footer.is_empty() {
        lines.push(footer.join(LINKS_APART));
    }
}

/// Fields stand two in a row, as in Slack.
fn columns(fields: &[String]) -> Vec<String> {
    let lefts = fields.iter().step_by(2).map(|left| left.chars().count());
    let width = lefts.max().unwrap_or(0).min(48);
    fields
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => format!("{left:<width$}  {right}"),
            _ => pair.concat(),
        })
        .collect()
}

fn shown_lines(text: Option<&Value>) -> Vec<String> {
    let text = text.and_then(Value::as_str).unwrap_or_default();
    shown(text).lines().map(str::to_owned).collect()
}

/// Mrkdwn as a reader sees it: links with their address, dates in UTC, no marks of bold and code.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let (inside, tail) = after.split_once('>').unwrap_or((after, ""));
        out.push_str(&shown_bracket(inside));
        rest = tail;
    }
    out.push_str(rest);
    let lines = out.lines().filter(|line| *line != FENCE);
    let unmarked = lines.map(unmark).collect::<Vec<_>>().join("\n");
    ENTITIES.iter().rev().fold(unmarked, |text, (raw, entity)| {
        text.replace(entity, &raw.to_string())
    })
}

fn shown_bracket(inside: &str) -> String {
    match inside.split_once('|') {
        Some((date, fallback)) if date.starts_with("!date^") => fallback.to_owned(),
        Some((url, label)) => format!("{label}: {url}"),
        None => format!("@{}", inside.trim_start_matches(['!', '@'])),
    }
}

/// Without the marks that our own layout sets: bold at the start of a line, code spans.
fn unmark(line: &str) -> String {
    let (bullet, words) = match line.strip_prefix("• ") {
        Some(words) => ("• ", words),
        None => ("", line),
    };
    let bold = words
        .strip_prefix('*')
        .and_then(|words| words.split_once('*'))
        .map(|(label, value)| {
            let colon = if value.is_empty() && bullet.is_empty() {
                ":"
            } else {
                ""
            };
            format!("{bullet}{label}{colon}{value}")
        });
    bold.unwrap_or_else(|| line.to_owned()).replace('`', "")
}
