//! What a notification says, sentence by sentence, in escaped mrkdwn. No layout here.

use jiff::{SignedDuration, Timestamp};

use super::{
    blocks::{Look, Room},
    headline, reason,
    text::{code, date, inline, link, percent_encode, utc},
};
use crate::domain::{
    classify::{Severity, UNCLASSIFIED},
    incident::Kind,
    job::is_tag,
    notification::{Event, Item, Notification, Recovery},
    verdict::Verdict,
};

/// Names within a headline; two or three of them and the words around are to fit a header.
pub(super) const HEADLINE_NAME: usize = 32;
const EMPTY: &str = "(no name)";

/// The item of a notification that speaks of one only and is laid out in full.
pub(super) fn single(notification: &Notification) -> Option<&Item> {
    match (notification.items.as_slice(), notification.event) {
        ([item], event) if event != Event::Digest && notification.total <= 1 => Some(item),
        _ => None,
    }
}

/// Whether it sums up what a silence or a mute window hid.
pub(super) fn is_hushed(notification: &Notification) -> bool {
    use crate::domain::notification::DigestKind;
    matches!(notification.digest, Some(DigestKind::Hushed { .. }))
}

/// Whether it sums up what happened while nobody told us anything.
pub(super) fn is_catch_up(notification: &Notification) -> bool {
    use crate::domain::notification::DigestKind;
    matches!(notification.digest, Some(DigestKind::CatchUp { .. }))
}

pub(super) fn is_first_start(notification: &Notification) -> bool {
    use crate::domain::notification::DigestKind;
    notification.digest == Some(DigestKind::FirstStart)
}

pub(super) fn mark(notification: &Notification) -> &'static str {
    match (notification.event, notification.severity) {
        (Event::Recovered, _) => "✅",
        (Event::StillFailing, _) => "🔁",
        (_, Severity::Critical) => "🔴",
        (_, Severity::NonCritical) => "🟡",
    }
}

/// How many share the trouble, those told before included.
pub(super) fn owners(notification: &Notification) -> usize {
    notification.shared_by.max(notification.total)
}

pub(super) fn services(notification: &Notification, count: usize) -> String {
    if notification
        .items
        .iter()
        .all(|item| item.class.service.is_some())
    {
        counted(count, "service", "services")
    } else {
        counted(count, "component", "components")
    }
}

pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `lambda v1.4.4`, or `lambda (main)`.
pub(super) fn subject(item: &Item) -> String {
    named(item, &item.base_ref, item.is_tag)
}

pub(super) fn healed_subject(item: &Item) -> String {
    let base_ref = healed_ref(item);
    named(item, base_ref, is_tag(base_ref))
}

/// What of the item's own is good again.
fn healed_ref(item: &Item) -> &str {
    let own = item.recovered.as_ref().filter(|good| good.by.is_none());
    own.map_or(&item.base_ref, |good| &good.base_ref)
}

fn named(item: &Item, base_ref: &str, is_tag: bool) -> String {
    let owner = or_nameless(inline(item.class.owner(), HEADLINE_NAME));
    let base_ref = inline(base_ref, HEADLINE_NAME);
    match (base_ref.is_empty(), is_tag) {
        (true, _) => owner,
        (false, true) => format!("{owner} {base_ref}"),
        (false, false) => format!("{owner} ({base_ref})"),
    }
}

/// The stage, else the job.
pub(super) fn step(item: &Item) -> String {
    let name = match item.class.stage.as_deref() {
        Some(UNCLASSIFIED) | None => &item.job,
        Some(stage) => stage,
    };
    or_nameless(inline(name, HEADLINE_NAME))
}

fn or_nameless(name: String) -> String {
    if name.is_empty() {
        EMPTY.to_owned()
    } else {
        name
    }
}

pub(super) fn failed(item: &Item) -> &'static str {
    match item.verdict {
        Verdict::SoftFail => "was green without doing its work",
        Verdict::Infra => "failed (infrastructure)",
        Verdict::Fail
        | Verdict::Running
        | Verdict::Pass
        | Verdict::NoOp
        | Verdict::AbortedByHuman
        | Verdict::Superseded => "failed",
    }
}

/// The whole notification in one sentence, for the notification list and screen readers.
pub(super) fn sentence(notification: &Notification) -> String {
    let headline = headline::line(notification);
    let Some(item) = single(notification) else {
        let names = names(notification.items.iter().map(|item| item.class.owner()), 8);
        return [headline, names].join(": ");
    };
    let story = single_story(notification.event, item, utc);
    let what = inline(&reason::in_words(item), 300);
    if notification.event == Event::Recovered || what.is_empty() {
        format!("{headline}. {story}.")
    } else {
        format!("{headline}: {}. {story}.", what.trim_end_matches('.'))
    }
}

fn single_story(event: Event, item: &Item, moment: fn(Timestamp) -> String) -> String {
    match (&item.recovered, event) {
        (Some(good), Event::Recovered) if item.is_stalled() => format!(
            "It {} at {}, {} after it was due",
            if item.kind == Kind::Overdue {
                "ended"
            } else {
                "started"
            },
            moment(good.at),
            duration(good.after)
        ),
        _ if item.is_stalled() => format!("It was due at {}", moment(item.since)),
        (Some(good), Event::Recovered) if item.kind == Kind::Mass => format!(
            "It lasted {}, until {}",
            duration(good.after),
            moment(good.at)
        ),
        (Some(good), Event::Recovered) if item.is_ours() => format!(
            "It works since {}, {} after it first failed",
            moment(good.at),
            duration(good.after)
        ),
        // Reported from inside the job, whose script then put up with it.
        (Some(good), Event::Recovered) if good.run == item.run => format!(
            "The same run passed in the end, at {}, though one of its commands had failed",
            moment(good.at)
        ),
        (Some(good), Event::Recovered) if item.is_stalled() => format!(
            "It started at {}, {} after it was due",
            moment(good.at),
            duration(good.after)
        ),
        (Some(good), Event::Recovered) => format!(
            "It passed{} at {}, {} and {} after it first broke{}",
            elsewhere(good),
            moment(good.at),
            duration(good.after),
            failed_runs(item.failures),
            skipped(good)
        ),
        _ if item.is_stalled() => format!("Late since {}", moment(item.since)),
        _ if item.failures > 1 => format!(
            "Failing since {}, {}",
            moment(item.since),
            failed_runs(item.failures)
        ),
        _ => format!("First failure at {}", moment(item.since)),
    }
}

/// Of a stage that all share: with whose run it passed.
fn elsewhere(good: &Recovery) -> String {
    let by = good.by.as_ref().map(|by| {
        let (by, base_ref) = (
            inline(by, HEADLINE_NAME),
            inline(&good.base_ref, HEADLINE_NAME),
        );
        format!(" with {by} {base_ref}").trim_end().to_owned()
    });
    by.unwrap_or_default()
}

fn skipped(good: &Recovery) -> String {
    let skipped = good.skipped.as_ref().map(|version| {
        let version = inline(version, HEADLINE_NAME);
        format!("; {version} itself never did")
    });
    skipped.unwrap_or_default()
}

/// How a recovery came about, or how often it failed since the last message. `None` when the fields say all.
pub(super) fn story(notification: &Notification, item: &Item) -> Option<String> {
    match notification.event {
        Event::Recovered => Some(format!("{}.", single_story(Event::Recovered, item, date))),
        Event::StillFailing if item.is_stalled() || item.is_ours() => None,
        Event::StillFailing => Some(format!(
            "{} since the last message, {} in all.",
            failed_runs_named(item.new_failures, "more failed"),
            item.failures
        )),
        Event::Opened | Event::Stalled | Event::SharedCause | Event::Digest => None,
    }
}

/// What broke, with the class of the verdict; further lines of it as a code block.
pub(super) fn what_broke(event: Event, item: &Item, room: &Room) -> String {
    let title = match (event, item.verdict) {
        (Event::Recovered, _) if item.is_stalled() => "What had been missing:",
        _ if item.is_stalled() => "What is missing:",
        (Event::Recovered, _) => "What had broken:",
        _ if item.is_ours() => "What is wrong:",
        (_, Verdict::SoftFail) => "What broke, though the run is green:",
        (_, Verdict::Infra) => "What broke, in the cluster or in Prow:",
        (_, Verdict::Fail) => "What broke:",
        (_, verdict) => return format!("*Verdict:* {verdict}"),
    };
    let (first, further) = item
        .what
        .trim()
        .split_once('\n')
        .unwrap_or((&item.what, ""));
    let mut words = inline(first, room.what);
    if words.is_empty() {
        "nothing is known but that it failed".clone_into(&mut words);
    }
    if further.trim().is_empty() {
        format!("*{title}* {words}")
    } else {
        let block = super::text::code_block(further, room.what);
        format!("*{title}* {words}\n{block}")
    }
}

/// One item of a list. `with_what`: whether the items broke in different ways.
pub(super) fn line(
    notification: &Notification,
    item: &Item,
    look: &Look,
    room: &Room,
    with_what: bool,
) -> String {
    let owner = or_nameless(inline(item.class.owner(), room.name));
    let healed = item.recovered.as_ref();
    let base_ref = healed_ref(item);
    let mut parts = vec![format!("• *{owner}*")];
    if !base_ref.is_empty() {
        parts.push(code(base_ref, room.name));
    }
    let by_job = notification.event == Event::Digest || item.class.stage.is_none();
    if by_job && item.job != item.class.owner() {
        parts.push(code(&item.job, room.name));
    }
    match healed {
        Some(good) if item.is_stalled() => {
            parts.push(format!("started {} late", duration(good.after)));
        }
        None if item.is_stalled() => parts.push(format!("due since {}", date(item.since))),
        Some(good) => parts.push(format!(
            "passed after {} and {}",
            duration(good.after),
            failed_runs(item.failures)
        )),
        None if item.failures > 1 || notification.event != Event::SharedCause => {
            parts.push(failed_runs(item.failures));
        }
        None => {}
    }
    if notification.event == Event::StillFailing && !item.is_stalled() {
        parts.push(format!("({} new)", item.new_failures));
    }
    parts.extend(first_link(notification, item, look, room));
    let what = inline(&reason::in_words(item), room.line_what);
    if with_what && healed.is_none() && !what.is_empty() {
        parts.push(format!("– {what}"));
    }
    parts.join(" ")
}

fn first_link(
    notification: &Notification,
    item: &Item,
    look: &Look,
    room: &Room,
) -> Option<String> {
    let own = item
        .links
        .first()
        .and_then(|first| link(&first.url, &first.label, room.url));
    own.or_else(|| why(notification, item, look, room))
}

/// All links of one item, in their order.
pub(super) fn links(
    notification: &Notification,
    item: &Item,
    look: &Look,
    room: &Room,
) -> Vec<String> {
    let (first, others) = item.links.split_at(item.links.len().min(1));
    first
        .iter()
        .chain(&item.log_link)
        .chain(others)
        .take(room.links)
        .filter_map(|one| link(&one.url, &one.label, room.url))
        .chain(why(notification, item, look, room))
        .collect()
}

/// Where the trail of decisions on a run is shown; of the notification, when there is no run.
fn why(notification: &Notification, item: &Item, look: &Look, room: &Room) -> Option<String> {
    let base = look.external_url.as_deref()?.trim_end_matches('/');
    let subject = if item.is_stalled() || item.is_ours() {
        &notification.id
    } else {
        let good = item.recovered.as_ref();
        &good.map_or(&item.run, |good| &good.run).0
    };
    let subject = percent_encode(subject);
    link(
        &format!("{base}/runs/{subject}"),
        "Why this message?",
        room.url,
    )
}

/// Names in their order, cut after `max`.
pub(super) fn names<'a>(owners: impl ExactSizeIterator<Item = &'a str>, max: usize) -> String {
    let more = owners.len().saturating_sub(max);
    let mut listed: Vec<String> = owners
        .take(max)
        .map(|owner| or_nameless(inline(owner, 40)))
        .collect();
    if more > 0 {
        listed.push(format!("{more} more"));
    }
    match listed.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => listed.concat(),
    }
}

pub(super) fn failed_runs(count: u64) -> String {
    failed_runs_named(count, "failed")
}

fn failed_runs_named(count: u64, kind: &str) -> String {
    format!("{count} {kind} {}", if count == 1 { "run" } else { "runs" })
}

/// The two largest units: `2h 14m`, `3d 4h`, `45s`.
pub(super) fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, 0) => format!("{hours}h"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, 0, _) => format!("{days}d"),
        _ => format!("{days}d {hours}h"),
    }
}
