//! Notification to Slack message. Pure; within every limit for any input, because what does not fit roomy
//! is laid out tight, and what does not fit tight is sent as plain text.

use serde_json::{Value, json};

use super::{
    chain, doomed, fields, headline,
    limits::{ALL_BLOCKS, HEADER, SECTION, TEXT, blocks_units},
    reason,
    text::{date, fit, inline, units},
    words,
};
use crate::domain::{
    classify::{Severity, UNCLASSIFIED},
    notification::{DigestKind, Event, Item, Notification},
};

/// What a receiver's configuration adds to a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Whom to ring on critical news, as `<!subteam^S0123>`. The operator's own word, put in as it stands.
    pub mention: Option<String>,
    /// Where our own pages are; without it there is no link to them.
    pub external_url: Option<String>,
}

/// How much space outside text gets, in units.
pub(super) struct Room {
    /// A name.
    pub(super) name: usize,
    /// What broke.
    pub(super) what: usize,
    /// The same in a list.
    pub(super) line_what: usize,
    /// The reason in one sentence.
    pub(super) headline: usize,
    /// The lines around the deciding one, all together.
    pub(super) excerpt: usize,
    /// One of them.
    pub(super) excerpt_line: usize,
    /// How many.
    pub(super) excerpt_lines: usize,
    /// An address; longer ones are left out.
    pub(super) url: usize,
    /// Links of one item.
    pub(super) links: usize,
    /// A list, all lines together.
    list: usize,
}

const ROOMY: Room = Room {
    name: 100,
    what: 1_200,
    line_what: 120,
    headline: 400,
    excerpt: 1_200,
    excerpt_line: 240,
    excerpt_lines: 12,
    url: 1_000,
    links: 10,
    list: 8_000,
};

/// Fits even if JSON doubles every character.
const TIGHT: Room = Room {
    name: 40,
    what: 300,
    line_what: 60,
    headline: 200,
    excerpt: 500,
    excerpt_line: 120,
    excerpt_lines: 6,
    url: 250,
    links: 5,
    list: 2_000,
};

/// Names told before, listed in a message on a shared cause.
const EARLIER: usize = 20;
/// Between links.
pub(super) const LINKS_APART: &str = "  ·  ";
/// No list of groups to ring is longer.
const MENTION: usize = 500;
/// Kept below the limits, which Slack does not define to the character.
const MARGIN: usize = 100;

/// A message: `text`, `blocks`, and no previews.
pub fn render(notification: &Notification, look: &Look) -> Value {
    for room in [&ROOMY, &TIGHT] {
        let blocks = Value::Array(compose(notification, look, room));
        if blocks_units(&blocks) <= ALL_BLOCKS - MARGIN {
            let mut message = message(&words::sentence(notification));
            message["blocks"] = blocks;
            return message;
        }
    }
    render_plain(notification, look)
}

/// The same as text alone, for when Slack refuses the blocks.
pub fn render_plain(notification: &Notification, look: &Look) -> Value {
    let mut lines = vec![headline::line(notification)];
    lines.extend(mention(notification, look));
    lines.extend(diverted(notification, &TIGHT));
    lines.extend(introduction(notification, &TIGHT));
    if let Some(item) = words::single(notification) {
        let fields = fields::fields(item, &TIGHT);
        lines.extend(fields.iter().map(|field| field.replacen('\n', ": ", 1)));
        lines.extend(words::links(notification, item, look, &TIGHT));
    } else {
        let taken: usize = lines.iter().map(|line| units(line) + 1).sum();
        let room = Room {
            list: TIGHT.list.min((TEXT - MARGIN).saturating_sub(taken)),
            ..TIGHT
        };
        lines.extend(list(notification, look, &room));
    }
    lines.extend(evidence_note(notification, &TIGHT));
    let id = id(notification);
    let mut text = String::new();
    for line in lines {
        if units(&text) + units(&line) + units(&id) + 2 <= TEXT - MARGIN {
            text.push_str(&line);
            text.push('\n');
        }
    }
    message(&format!("{text}{id}"))
}

fn message(text: &str) -> Value {
    json!({"text": text, "unfurl_links": false, "unfurl_media": false})
}

fn compose(notification: &Notification, look: &Look, room: &Room) -> Vec<Value> {
    let mut blocks = vec![header(&headline::line(notification))];
    let notes: Vec<String> = mention(notification, look)
        .into_iter()
        .chain(diverted(notification, room))
        .chain(introduction(notification, room))
        .collect();
    blocks.extend(sections(&notes, "\n"));
    match words::single(notification) {
        Some(item) => {
            blocks.push(fields(&fields::fields(item, room)));
            blocks.extend(sections(
                &words::links(notification, item, look, room),
                LINKS_APART,
            ));
        }
        None => blocks.extend(sections(&list(notification, look, room), "\n")),
    }
    blocks.push(footer(notification, room));
    blocks
}

fn mention(notification: &Notification, look: &Look) -> Option<String> {
    let rings = match notification.event {
        Event::Opened | Event::Stalled | Event::SharedCause | Event::StillFailing => {
            notification.severity == Severity::Critical
        }
        Event::Recovered | Event::Digest => false,
    };
    look.mention
        .clone()
        .filter(|mention| rings && (1..=MENTION).contains(&units(mention)))
}

fn diverted(notification: &Notification, room: &Room) -> Option<String> {
    let diverted = notification.diverted.as_ref()?;
    Some(format!(
        "⚠️ Meant for {}, which refused it: {}",
        super::text::code(&diverted.from, room.name),
        inline(&diverted.reason, room.what)
    ))
}

/// What comes before fields or list: what broke, how it went on, who else is struck.
fn introduction(notification: &Notification, room: &Room) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(item) = words::single(notification) {
        notes.extend(words::story(notification, item));
        notes.extend(what_and_why(notification.event, item, room));
        notes.extend(chain::notes(notification.event, item));
        let flaky = item.flaky.as_deref().filter(|_| item.recovered.is_none());
        notes.extend(flaky.map(|flaky| format!("*Note:* {}", inline(flaky, room.what))));
        if item.class.rule.is_none() && !item.is_ours() {
            notes.push("*Unclassified:* no rule knows this job".to_owned());
        }
    } else {
        notes.extend(introduction_of_many(notification, room));
    }
    notes.extend(doomed::notes(notification.event, &notification.items, room));
    notes.extend(shared_with(notification));
    notes
}

/// What broke and why, the first left out when it only says that the job failed.
fn what_and_why(event: Event, item: &Item, room: &Room) -> Vec<String> {
    let what = (!reason::replaces_what(item)).then(|| words::what_broke(event, item, room));
    what.into_iter()
        .chain(reason::pieces(event, item, room))
        .collect()
}

fn introduction_of_many(notification: &Notification, room: &Room) -> Vec<String> {
    let Some(first) = notification.items.first() else {
        return Vec::new();
    };
    match (notification.event, notification.digest.as_ref()) {
        (Event::Digest, Some(DigestKind::FirstStart)) => vec![
            "These failed before the notifier first started. From now on failures are told as they \
             happen."
                .to_owned(),
        ],
        (Event::Digest, Some(DigestKind::CatchUp { since })) => vec![format!(
            "Nobody told the notifier anything from {} on; this is how things stand now. What failed \
             meanwhile and is over is on the record, and not told.",
            date(*since)
        )],
        (Event::Digest, Some(DigestKind::Period { since })) => {
            vec![format!("Collected since {}.", date(*since))]
        }
        (
            Event::Digest,
            Some(DigestKind::Hushed {
                by,
                since,
                told_apart,
            }),
        ) => {
            vec![hushed(by, *since, *told_apart, room)]
        }
        (Event::Digest, None) | (Event::Recovered, _) => Vec::new(),
        (Event::Opened | Event::Stalled | Event::SharedCause | Event::StillFailing, _) => {
            let since = notification.items.iter().map(|item| item.since).min();
            let since = date(since.unwrap_or(first.since));
            let stalled = headline::all_stalled(notification);
            let label = if stalled {
                "Due since"
            } else {
                "Failing since"
            };
            let mut notes = vec![format!("*{label}:* {since}, {}", notification.severity)];
            if broke_alike(&notification.items) {
                // Of some the log may not have been read.
                let told = notification
                    .items
                    .iter()
                    .find(|item| item.evidence.is_some());
                notes.extend(what_and_why(
                    notification.event,
                    told.unwrap_or(first),
                    room,
                ));
            }
            notes
        }
    }
}

/// What hid all this, now that it ended.
fn hushed(by: &str, since: jiff::Timestamp, told_apart: usize, room: &Room) -> String {
    let by = inline(by, room.headline);
    let apart = match told_apart {
        0 => String::new(),
        1 => " One more is still broken and told by itself.".to_owned(),
        more => format!(" {more} more are still broken and told by themselves."),
    };
    format!(
        "Hidden since {} by {by}, which has ended.{apart}",
        date(since)
    )
}

fn broke_alike(items: &[Item]) -> bool {
    let same_what = items
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if (a.verdict, &a.what) == (b.verdict, &b.what)));
    same_what && reason::is_shared(items)
}

fn shared_with(notification: &Notification) -> Option<String> {
    match notification.event {
        Event::Digest => None,
        // What had been told before may have recovered before, too: only the count is certain.
        Event::Recovered => (notification.shared_by > 0).then(|| {
            format!(
                "Still failing elsewhere: {}.",
                words::services(notification, notification.shared_by)
            )
        }),
        Event::Opened | Event::Stalled | Event::SharedCause | Event::StillFailing => {
            let names = words::names(notification.earlier.iter().map(String::as_str), EARLIER);
            (!names.is_empty()).then(|| format!("*Told before:* {names}"))
        }
    }
}

/// Lines of a list, grouped by stage in a digest, cut to the room with a count of what is left out.
fn list(notification: &Notification, look: &Look, room: &Room) -> Vec<String> {
    let with_what = !broke_alike(&notification.items) || notification.event == Event::Digest;
    let mut lines = Vec::new();
    let mut heading = String::new();
    let (mut shown, mut used) = (0, 0);
    for item in ordered(notification) {
        let line = words::line(notification, item, look, room, with_what);
        let own_heading = group_heading(notification, item, room);
        let new = own_heading.filter(|own| *own != heading);
        let cost = units(&line) + 1 + new.as_deref().map_or(0, |new| units(new) + 1);
        if used + cost > room.list {
            break;
        }
        if let Some(new) = new {
            lines.push(new.clone());
            heading = new;
        }
        lines.push(line);
        used += cost;
        shown += 1;
    }
    let left_out = notification.total.max(notification.items.len()) - shown;
    if left_out > 0 {
        lines.push(format!("…and {left_out} more"));
    }
    lines
}

/// A digest is read group by group, what is critical first; other lists keep their order.
fn ordered(notification: &Notification) -> Vec<&Item> {
    let mut items: Vec<&Item> = notification.items.iter().collect();
    if notification.event == Event::Digest {
        items.sort_by_key(|item| {
            let class = &item.class;
            let unclassified = class.rule.is_none();
            (
                std::cmp::Reverse(class.severity),
                unclassified,
                &class.stage,
            )
        });
    }
    items
}

fn group_heading(notification: &Notification, item: &Item, room: &Room) -> Option<String> {
    if notification.event != Event::Digest {
        return None;
    }
    let class = &item.class;
    let name = match class.stage.as_deref() {
        _ if class.rule.is_none() => format!("*{UNCLASSIFIED}*, no rule knows these jobs"),
        Some(stage) => format!("*{}*", inline(stage, room.name)),
        None => "*without a stage*".to_owned(),
    };
    Some(format!("{name} ({})", class.severity))
}

fn header(text: &str) -> Value {
    let text = fit(text, HEADER);
    json!({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": true}})
}

/// `verbatim`: Slack shall not make links of its own from outside text.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

fn fields(fields: &[String]) -> Value {
    let fields: Vec<Value> = fields.iter().map(|field| mrkdwn(field)).collect();
    json!({"type": "section", "fields": fields})
}

/// As few sections as hold all pieces; no piece is split.
fn sections(pieces: &[String], separator: &str) -> Vec<Value> {
    let mut texts: Vec<String> = Vec::new();
    for piece in pieces {
        match texts.last_mut() {
            Some(last) if units(last) + units(separator) + units(piece) <= SECTION - MARGIN => {
                last.push_str(separator);
                last.push_str(piece);
            }
            _ => texts.push(piece.clone()),
        }
    }
    texts
        .iter()
        .map(|text| json!({"type": "section", "text": mrkdwn(text)}))
        .collect()
}

fn footer(notification: &Notification, room: &Room) -> Value {
    let mut elements = Vec::new();
    if let Some(item) = words::single(notification) {
        let repository = inline(&item.repository, room.name);
        if !repository.is_empty() {
            elements.push(mrkdwn(&repository));
        }
    }
    elements.extend(evidence_note(notification, room).map(|note| mrkdwn(&note)));
    elements.push(mrkdwn(&date(notification.at)));
    elements.push(mrkdwn(&id(notification)));
    json!({"type": "context", "elements": elements})
}

/// Why there is no reason, when that is so for all items.
fn evidence_note(notification: &Notification, room: &Room) -> Option<String> {
    let first = notification.items.first()?.evidence_note.as_deref()?;
    let same = |item: &Item| {
        item.evidence.is_none()
            && item.recovered.is_none()
            && item.evidence_note.as_deref() == Some(first)
    };
    let note = inline(first, room.headline);
    (notification.items.iter().all(same) && !note.is_empty()).then_some(note)
}

fn id(notification: &Notification) -> String {
    format!("id:{}", inline(&notification.id, 40))
}

#[cfg(test)]
mod tests;
