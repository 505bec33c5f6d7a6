//! The answer to "why was I told, or not?" in one sentence.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    domain::{decision::Decision, notification::Event, time::words},
    store::{DecisionRow, DeliveryTrail, NotificationTrail, Trail},
};

/// A sentence, and whether somebody was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) sentence: String,
    pub(super) told: bool,
}

/// Works it out from what is known of a run.
pub(super) fn answer(trail: &Trail, now: Timestamp) -> Answer {
    let Some(decision) = weightiest(&trail.decisions) else {
        return undecided(trail, now);
    };
    let messages = about(trail, decision);
    if messages.is_empty() {
        return not_told(quiet(decision));
    }
    said(&messages, &decision.reason, now)
}

/// Of what did not happen there are no decisions, but there may be messages.
fn undecided(trail: &Trail, now: Timestamp) -> Answer {
    let messages: Vec<&NotificationTrail> = trail.notifications.iter().collect();
    match trail.incidents.last() {
        Some(incident) if messages.is_empty() => {
            not_told(format!("Nobody was told so far: {}.", incident.latest.what))
        }
        Some(incident) => said(&messages, &incident.latest.what, now),
        None => not_told(
            "Nobody was told: the run is stored, and nothing was decided on it yet.".to_owned(),
        ),
    }
}

fn not_told(sentence: String) -> Answer {
    Answer {
        sentence,
        told: false,
    }
}

fn said(messages: &[&NotificationTrail], why: &str, now: Timestamp) -> Answer {
    let told = sent(messages);
    if told.is_empty() {
        return not_told(stuck(messages, now));
    }
    Answer {
        sentence: format!("{}: {why}.", told.join("; ")),
        told: true,
    }
}

/// The decision that says most: one that speaks before one that is silent, then the latest.
fn weightiest(decisions: &[DecisionRow]) -> Option<&DecisionRow> {
    let weight = |row: &&DecisionRow| match row.decision {
        Decision::Notify | Decision::Recovered | Decision::Unmatched => 4,
        Decision::Folded | Decision::Digest => 3,
        Decision::Silenced
        | Decision::BelowThreshold
        | Decision::Stale
        | Decision::Deduplicated => 2,
        Decision::NoOp | Decision::Superseded | Decision::Ignored => 1,
        Decision::NotFailed => 0,
    };
    // Of equals the last.
    decisions
        .iter()
        .max_by_key(|row| (weight(row), row.decided_at))
}

/// Messages that speak of the run, or of its incident at the time of a decision that has one told.
fn about<'a>(trail: &'a Trail, decision: &DecisionRow) -> Vec<&'a NotificationTrail> {
    let recovers = decision.decision == Decision::Recovered;
    let all = || {
        let fits = move |said: &&NotificationTrail| {
            let is_recovery = said.notification.event == Event::Recovered;
            trail.run.is_none() || is_recovery == recovers
        };
        trail.notifications.iter().filter(fits)
    };
    let names = |said: &&NotificationTrail| {
        let mut items = said.notification.items.iter();
        items.any(|item| item.run == decision.run)
    };
    let own: Vec<_> = all().filter(names).collect();
    if !own.is_empty() {
        return own;
    }
    match decision.decision {
        _ if trail.run.is_none() || recovers => all().collect(),
        Decision::Notify | Decision::Unmatched | Decision::Folded | Decision::Digest => all()
            .find(|said| said.notification.at >= decision.decided_at)
            .into_iter()
            .collect(),
        Decision::Recovered
        | Decision::Deduplicated
        | Decision::Silenced
        | Decision::BelowThreshold
        | Decision::Stale
        | Decision::NoOp
        | Decision::NotFailed
        | Decision::Superseded
        | Decision::Ignored => Vec::new(),
    }
}

/// Who got which message when; those who got it in the same second together.
fn sent(messages: &[&NotificationTrail]) -> Vec<String> {
    let mut told: BTreeMap<(Timestamp, String), Vec<String>> = BTreeMap::new();
    for said in messages {
        let event = said.notification.event.as_str();
        for delivery in said.deliveries.iter().filter(|one| one.state == "sent") {
            let at = delivery.attempts.last().map(|attempt| attempt.at);
            let at = at.unwrap_or(said.notification.at);
            let way = delivery.diverted.as_ref();
            let instead = way.map(|way| format!(" instead of {} ({})", way.from, way.reason));
            let when = format!(
                "at {}{} ({event})",
                at.strftime("%H:%M:%S UTC on %-d %B"),
                instead.unwrap_or_default()
            );
            let second = Timestamp::from_second(at.as_second()).unwrap_or(at);
            let receivers = told.entry((second, when)).or_default();
            receivers.push(delivery.receiver.clone());
        }
    }
    told.into_iter()
        .map(|((_, when), receivers)| {
            let verb = if receivers.len() == 1 { "was" } else { "were" };
            format!("{} {verb} told {when}", receivers.join(", "))
        })
        .collect()
}

/// Why a message has not arrived.
fn stuck(messages: &[&NotificationTrail], now: Timestamp) -> String {
    let delivery = messages
        .iter()
        .flat_map(|said| &said.deliveries)
        .next_back();
    let Some(delivery) = delivery else {
        return "Nobody was told: the message has no delivery.".to_owned();
    };
    let answer = delivery.attempts.last();
    let answer = answer.map(|attempt| {
        format!(
            ", the last attempt got: {} {}",
            attempt.outcome, attempt.detail
        )
    });
    let answer = answer.unwrap_or_default();
    if delivery.state == "dead" {
        return format!(
            "{} was not told: its message was given up{answer}.",
            delivery.receiver
        );
    }
    let wait = delivery.due_at.duration_since(now).as_secs();
    let when = if wait > 0 {
        format!("in {}", words(wait))
    } else {
        "now".to_owned()
    };
    format!(
        "{} is being told: the message goes out {when}{answer}.",
        delivery.receiver
    )
}

/// Why there is no message.
fn quiet(decision: &DecisionRow) -> String {
    let reason = &decision.reason;
    match decision.decision {
        Decision::Notify | Decision::Recovered | Decision::Unmatched => {
            format!(
                "A message is about to be written for {}: {reason}.",
                list(&decision.receivers)
            )
        }
        Decision::Digest => format!(
            "It is collected for the digest of {}: {reason}.",
            list(&decision.receivers)
        ),
        Decision::Folded => {
            format!("It is told in one message with others of the same cause: {reason}.")
        }
        Decision::Silenced => format!("Nobody was told, a silence held it back: {reason}."),
        Decision::Deduplicated => format!("Nobody was told again: {reason}."),
        Decision::BelowThreshold
        | Decision::Stale
        | Decision::NoOp
        | Decision::NotFailed
        | Decision::Superseded
        | Decision::Ignored => format!("Nobody was told: {reason}."),
    }
}

fn list(receivers: &[String]) -> String {
    if receivers.is_empty() {
        "nobody".to_owned()
    } else {
        receivers.join(", ")
    }
}

/// How a delivery went.
pub(super) fn went(delivery: &DeliveryTrail) -> String {
    let last = delivery.attempts.last();
    let attempts = delivery.attempts.len();
    let tries = if attempts > 1 {
        format!(" after {attempts} attempts")
    } else {
        String::new()
    };
    // "sent: sent" says nothing twice.
    let more = last.filter(|last| !last.detail.is_empty() || last.outcome != delivery.state);
    let answer = more.map(|attempt| format!(": {} {}", attempt.outcome, attempt.detail));
    let answer = answer.unwrap_or_default();
    let text = format!("{}: {}{tries}{answer}", delivery.receiver, delivery.state);
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests;
