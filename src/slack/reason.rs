//! Why it broke, as read from the run's own files: one sentence, and the lines around the deciding one.
//! No layout here.

use super::{
    blocks::Room,
    text::{code_line, inline, units},
};
use crate::domain::{
    evidence::{Evidence, Excerpt, LogLine},
    notification::{Event, Item},
};

/// Lines before the deciding one that are shown, when there are as many.
const BEFORE: usize = 3;
/// Before the deciding line, and as wide before the others.
const DECIDING: &str = "→ ";
const OTHER: &str = "  ";
/// What Prow says of every failure; the reason says more.
const GENERIC: &str = "the job failed";

/// Whether what broke is worth a line beside the reason.
pub(super) fn replaces_what(item: &Item) -> bool {
    item.evidence.is_some() && item.what.trim() == GENERIC
}

/// Why it broke, else what broke; raw, on one line.
pub(super) fn in_words(item: &Item) -> String {
    match &item.evidence {
        Some(evidence) => format!("{}: {}", evidence.class.words(), evidence.headline),
        None => item.what.clone(),
    }
}

/// The reason and its lines; nothing when there is none.
pub(super) fn pieces(event: Event, item: &Item, room: &Room) -> Vec<String> {
    let Some(evidence) = &item.evidence else {
        return Vec::new();
    };
    let mut pieces = vec![sentence(evidence, room)];
    // Who reads that it is good again need not read a log.
    if event != Event::Recovered {
        pieces.extend(
            evidence
                .excerpt
                .as_ref()
                .and_then(|excerpt| block(excerpt, room)),
        );
    }
    pieces
}

fn sentence(evidence: &Evidence, room: &Room) -> String {
    let headline = inline(&evidence.headline, room.headline);
    format!("*{}:* {headline}", evidence.class.words())
}

/// Whether all that is known of the reasons is one reason.
pub(super) fn is_shared(items: &[Item]) -> bool {
    let mut reasons = items.iter().filter_map(|item| item.evidence.as_ref());
    let Some(first) = reasons.next() else {
        return true;
    };
    reasons.all(|other| match (&first.signature, &other.signature) {
        (Some(one), Some(other)) => one == other,
        _ => (first.class, &first.headline) == (other.class, &other.headline),
    })
}

/// The lines around the deciding one as a code block, within the room; `None` when there is but that line,
/// which the sentence shows.
fn block(excerpt: &Excerpt, room: &Room) -> Option<String> {
    let width = excerpt.lines.iter().filter_map(|line| line.number).max();
    let width = width.map_or(0, |number| number.to_string().len());
    let shown = |index: usize| {
        let line = excerpt.lines.get(index)?;
        Some(shown_line(line, index == excerpt.deciding, width, room))
    };
    let (mut first, mut last) = (excerpt.deciding, excerpt.deciding);
    let mut lines = std::collections::VecDeque::from([shown(excerpt.deciding)?]);
    let mut used = units(lines.front()?);
    let mut fits = |line: &str, count: usize| {
        let cost = units(line) + 1;
        let fits = count < room.excerpt_lines && used + cost <= room.excerpt;
        used += if fits { cost } else { 0 };
        fits
    };
    let (mut up, mut down) = (true, true);
    while up || down {
        let after = shown(last + 1).filter(|line| down && fits(line, lines.len()));
        down = after.is_some();
        if let Some(line) = after {
            lines.push_back(line);
            last += 1;
        }
        let more = first > 0 && excerpt.deciding - first < BEFORE;
        let before = more.then(|| shown(first - 1)).flatten();
        let before = before.filter(|line| up && fits(line, lines.len()));
        up = before.is_some();
        if let Some(line) = before {
            lines.push_front(line);
            first -= 1;
        }
    }
    (lines.len() > 1).then(|| {
        let lines: Vec<String> = lines.into();
        format!("```\n{}\n```", lines.join("\n"))
    })
}

fn shown_line(line: &LogLine, decides: bool, width: usize, room: &Room) -> String {
    let mark = if decides { DECIDING } else { OTHER };
    let number = line.number.map(|number| number.to_string());
    let number = number.unwrap_or_default();
    let gap = if width == 0 { "" } else { "  " };
    let text = code_line(&line.text, room.excerpt_line);
    format!("{mark}{number:>width$}{gap}{text}")
        .trim_end()
        .to_owned()
}
