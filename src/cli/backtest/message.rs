//! One notification as machines read it.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::{
    cli::preview,
    config::Config,
    domain::{
        classify::Severity,
        flush::Told,
        notification::{Event, Item},
        state::State,
    },
};

/// A notification; its fields are the keys of a line, in this order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Message {
    /// When it went out, in whole seconds.
    #[serde(serialize_with = "rfc3339")]
    pub(super) at: Timestamp,
    /// What it says.
    pub(super) event: &'static str,
    /// Number of the first incident that it speaks of, and the id that the message shows.
    pub(super) incident: String,
    /// The highest of its incidents.
    pub(super) severity: Severity,
    /// Stage of its first incident; of a digest only where all are of one.
    pub(super) stage: Option<String>,
    /// Services that it names; empty where what broke belongs to none.
    pub(super) services: Vec<String>,
    /// Concrete receiver.
    pub(super) receiver: String,
    /// The latest bad run of each incident, and the good one that closed it.
    pub(super) runs: Vec<String>,
    /// The message in one sentence.
    pub(super) text: String,
    /// Services, or components where there is none: whom it is about.
    #[serde(skip)]
    pub(super) owners: Vec<String>,
}

impl Message {
    /// A notification, rendered as this configuration would have it; its text costs most of it.
    pub(super) fn new(config: &Config, state: &State, told: &Told, with_text: bool) -> Self {
        let notification = &told.notification;
        let mut message = Self {
            at: whole_seconds(notification.at),
            event: notification.event.as_str(),
            incident: format!(
                "{}-{}",
                told.incidents.first().map_or(0, |id| id.0),
                notification.id
            ),
            severity: notification.severity,
            stage: stage(notification.event, &notification.items),
            services: Vec::new(),
            receiver: notification.receiver.clone(),
            runs: Vec::new(),
            text: if with_text {
                text(config, told)
            } else {
                String::new()
            },
            owners: Vec::new(),
        };
        for item in &notification.items {
            message.name(item);
        }
        // A message lists so many and counts the rest; here all are named.
        for id in told.incidents.iter().skip(notification.items.len()) {
            if let Some(incident) = state.incidents.get(id) {
                message.name(&incident.item());
            }
        }
        message
    }

    fn name(&mut self, item: &Item) {
        if let Some(service) = &item.class.service {
            add(&mut self.services, service);
        }
        add(&mut self.owners, item.class.owner());
        add(&mut self.runs, &item.run.0);
        if let Some(good) = item
            .recovered
            .as_ref()
            .filter(|_| self.event == Event::Recovered.as_str())
        {
            add(&mut self.runs, &good.run.0);
        }
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if names.iter().all(|known| known != name) {
        names.push(name.to_owned());
    }
}

fn stage(event: Event, items: &[Item]) -> Option<String> {
    let first = items.first()?.class.stage.clone();
    let differs = event == Event::Digest && items.iter().any(|item| item.class.stage != first);
    first.filter(|_| !differs)
}

fn text(config: &Config, told: &Told) -> String {
    let payload = preview::payload(config, &told.notification);
    let text = payload.get("text").and_then(serde_json::Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}
