//! What a second configuration would have said otherwise.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::message::Message;

/// The same message at two times that differ by no more than this is the same.
const SAME: SignedDuration = SignedDuration::from_mins(1);
/// The same message at two times that differ by no more than this has moved; beyond it is another one.
const MOVED: SignedDuration = SignedDuration::from_hours(24);

/// One difference.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Difference {
    /// What kind.
    pub(super) change: Change,
    /// Of a moved message: when the second configuration says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) moved_to: Option<Timestamp>,
    /// The message; of a moved one as the first configuration has it.
    #[serde(flatten)]
    pub(super) message: Message,
}

/// How two configurations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    /// Only the first one, of `--config`, says it.
    OnlyConfig,
    /// Only the second one, of `--against`, says it.
    OnlyAgainst,
    /// Both say it, at different times.
    Moved,
}

/// What makes two messages the same: event, receiver, stage and whom they are about.
type Key = (&'static str, String, Option<String>, Vec<String>);

/// All differences, in order of time.
pub(super) fn differences(config: Vec<Message>, against: Vec<Message>) -> Vec<Difference> {
    let mut pairs: BTreeMap<Key, [Vec<Message>; 2]> = BTreeMap::new();
    for (side, messages) in [config, against].into_iter().enumerate() {
        for message in messages {
            if let Some(list) = pairs.entry(key(&message)).or_default().get_mut(side) {
                list.push(message);
            }
        }
    }
    let mut found = Vec::new();
    for [config, against] in pairs.into_values() {
        let (config, against, _) = pair(config, against, SAME);
        let (config, against, moved) = pair(config, against, MOVED);
        let difference = |change| {
            move |message| Difference {
                change,
                moved_to: None,
                message,
            }
        };
        found.extend(config.into_iter().map(difference(Change::OnlyConfig)));
        found.extend(against.into_iter().map(difference(Change::OnlyAgainst)));
        found.extend(moved.into_iter().map(|(message, to)| Difference {
            change: Change::Moved,
            moved_to: Some(to),
            message,
        }));
    }
    found.sort_by(|one, other| {
        (one.message.at, &one.message.receiver, one.change).cmp(&(
            other.message.at,
            &other.message.receiver,
            other.change,
        ))
    });
    found
}

fn key(message: &Message) -> Key {
    let mut owners = message.owners.clone();
    owners.sort();
    (
        message.event,
        message.receiver.clone(),
        message.stage.clone(),
        owners,
    )
}

type Paired = (Vec<Message>, Vec<Message>, Vec<(Message, Timestamp)>);

/// Pairs messages no further apart than this, in order of time; returns what is left of either side, and the pairs.
fn pair(config: Vec<Message>, against: Vec<Message>, within: SignedDuration) -> Paired {
    let (mut left, mut right, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    let mut against = against.into_iter().peekable();
    for message in config {
        let too_early = |other: &Message| message.at.duration_since(other.at) > within;
        while let Some(other) = against.next_if(too_early) {
            right.push(other);
        }
        match against.next_if(|other| other.at.duration_since(message.at) <= within) {
            Some(other) => pairs.push((message, other.at)),
            None => left.push(message),
        }
    }
    right.extend(against);
    (left, right, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::classify::Severity;

    fn messages(times: &[&str]) -> Vec<Message> {
        let message = |clock: &&str| Message {
            at: format!("2024-03-01T{clock}Z").parse().unwrap(),
            event: "opened",
            incident: String::new(),
            severity: Severity::Critical,
            stage: None,
            services: Vec::new(),
            receiver: "platform".to_owned(),
            runs: Vec::new(),
            text: String::new(),
            owners: vec!["s3".to_owned()],
        };
        times.iter().map(message).collect()
    }

    fn changes(config: &[&str], against: &[&str]) -> Vec<(Change, String)> {
        let found = differences(messages(config), messages(against));
        let short = |difference: Difference| {
            let at = difference.moved_to.unwrap_or(difference.message.at);
            (difference.change, at.strftime("%H:%M:%S").to_string())
        };
        found.into_iter().map(short).collect()
    }

    fn change(change: Change, at: &str) -> (Change, String) {
        (change, at.to_owned())
    }

    #[test]
    fn a_message_within_a_minute_is_the_same_and_beyond_it_has_moved() {
        assert_eq!(changes(&["10:00:00"], &["10:01:00"]), []);
        assert_eq!(
            changes(&["10:00:00"], &["10:01:01"]),
            [change(Change::Moved, "10:01:01")]
        );
        assert_eq!(
            changes(&["10:00:00"], &["09:00:00"]),
            [change(Change::Moved, "09:00:00")]
        );
    }

    #[test]
    fn what_is_the_same_is_paired_before_what_has_moved() {
        assert_eq!(
            changes(&["10:00:00", "11:00:00"], &["11:00:30"]),
            [change(Change::OnlyConfig, "10:00:00")]
        );
        assert_eq!(
            changes(&["10:00:00"], &["08:00:00", "10:00:00"]),
            [change(Change::OnlyAgainst, "08:00:00")]
        );
    }
}
