//! Ordered routes from a classified run to concrete receivers.

use std::{collections::BTreeSet, time::Duration};

use super::{
    classify::{Severity, annotation},
    incident::Target,
    matcher::{Labels, Matcher},
};

/// One route: first match wins unless `continue`.
#[derive(Debug, Clone)]
pub struct Route {
    /// All must match; none matches everything.
    pub matchers: Vec<Matcher>,
    /// Name of a receiver.
    pub receiver: String,
    /// Non-critical incidents are collected for this long.
    pub digest: Option<Duration>,
    /// Whether later routes are asked too.
    pub continues: bool,
    /// Names of mute windows.
    pub mute: Vec<String>,
}

/// Where a receiver's messages go, as far as routing must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// One destination.
    Single,
    /// One destination per service; only these services have one.
    PerService(BTreeSet<String>),
    /// One destination per service, every service taken to have one (preview without the folder).
    EveryService,
}

/// The routing part of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// In order.
    pub routes: Vec<Route>,
    /// Name and reach of every receiver.
    pub receivers: Vec<(String, Reach)>,
    /// Where a run goes that no route takes. `None` only outside the daemon.
    pub default_receiver: Option<String>,
}

/// A concrete receiver for one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// `platform`, or `by-service/s3`.
    pub receiver: String,
    /// Collect for this long instead of telling at once.
    pub digest: Option<Duration>,
    /// Mute windows that the route names.
    pub mute: Vec<String>,
    /// Which route took it, for the reason: `route 2`, `default receiver`, `annotation`.
    pub by: String,
}

/// The receivers of an incident; what is critical is never collected.
pub fn targets(destinations: &[Destination], severity: Severity) -> Vec<Target> {
    destinations
        .iter()
        .map(|to| Target {
            receiver: to.receiver.clone(),
            digest: to.digest.filter(|_| severity != Severity::Critical),
            mute: to.mute.clone(),
        })
        .collect()
}

impl Routing {
    /// The concrete receivers of a run, each once, in order of the routes.
    pub fn destinations(&self, labels: &Labels<'_>) -> Vec<Destination> {
        if let Some(name) = labels.run.annotations.get(annotation::RECEIVER)
            && let Some(receiver) = self.concrete(name, labels)
        {
            return vec![Destination {
                receiver,
                digest: None,
                mute: Vec::new(),
                by: "annotation".to_owned(),
            }];
        }
        let mut found: Vec<Destination> = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            if !route.matchers.iter().all(|matcher| matcher.matches(labels)) {
                continue;
            }
            // A per-service receiver without a file for the service has nowhere to go: next route.
            let Some(receiver) = self.concrete(&route.receiver, labels) else {
                continue;
            };
            if found.iter().all(|known| known.receiver != receiver) {
                found.push(Destination {
                    receiver,
                    digest: route.digest,
                    mute: route.mute.clone(),
                    by: format!("route {}", index + 1),
                });
            }
            if !route.continues {
                break;
            }
        }
        if found.is_empty() {
            found.extend(self.fallthrough(labels));
        }
        found
    }

    /// The default receiver, when there is one.
    pub fn fallthrough(&self, labels: &Labels<'_>) -> Option<Destination> {
        let name = self.default_receiver.as_deref()?;
        let receiver = self.concrete(name, labels)?;
        Some(Destination {
            receiver,
            digest: None,
            mute: Vec::new(),
            by: "default receiver".to_owned(),
        })
    }

    fn concrete(&self, name: &str, labels: &Labels<'_>) -> Option<String> {
        let (_, reach) = self.receivers.iter().find(|(known, _)| known == name)?;
        let service = labels.class.and_then(|class| class.service.as_deref());
        match (reach, service) {
            (Reach::Single, _) => Some(name.to_owned()),
            (Reach::PerService(services), Some(service)) if services.contains(service) => {
                Some(format!("{name}/{service}"))
            }
            (Reach::EveryService, Some(service)) => Some(format!("{name}/{service}")),
            (Reach::PerService(_) | Reach::EveryService, _) => None,
        }
    }
}
