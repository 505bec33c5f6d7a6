//! Notices changed configuration and secrets and swaps them in whole; a bad one is refused and the old
//! one stays.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Origin, live::Live};
use crate::{
    clock::Clock,
    metrics::{Metrics, ResultLabel},
};

/// How often files are looked at. Their content is compared, because Kubernetes swaps symlinks under a
/// mounted ConfigMap and tells nobody.
const EVERY: Duration = Duration::from_secs(10);

/// The one that reloads.
#[derive(Debug)]
pub struct Reloader {
    origin: Origin,
    live: watch::Sender<Arc<Live>>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// The refusal that was reported last; the same one is not reported again.
    refused: Option<String>,
    /// Somebody asked for the next look, and is told what comes of it whatever that is.
    asked: bool,
}

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing changed.
    Unchanged,
    /// The new configuration is in force.
    Swapped,
    /// The new configuration is bad; the old one stays.
    Refused,
}

impl Reloader {
    /// A reloader of what `origin` names into `live`.
    pub fn new(origin: Origin, live: watch::Sender<Arc<Live>>, metrics: Arc<Metrics>) -> Self {
        metrics.config_last_reload_successful.set(1);
        Self {
            origin,
            live,
            metrics,
            clock: Clock::System,
            refused: None,
            asked: false,
        }
    }

    /// The same by another clock.
    #[must_use]
    pub fn by(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self.live.borrow().note_loaded(self.clock.now());
        self
    }

    /// Looks at the files now and then, and at once on SIGHUP, until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                error!(
                    error = &error as &dyn std::error::Error,
                    "Cannot listen for SIGHUP"
                );
                return;
            }
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = hangup.recv() => self.asked = true,
                () = tokio::time::sleep(EVERY) => {}
            }
            self.step();
        }
    }

    /// Looks at the files once.
    pub fn step(&mut self) -> Reload {
        let old = Arc::clone(&self.live.borrow());
        let asked = std::mem::take(&mut self.asked);
        match self.origin.load(old.snapshot.policy.first_start) {
            Ok(new) if new.snapshot.hash == old.snapshot.hash => {
                if self.refused.take().is_some() {
                    info!("The configuration on disk is the one in force again");
                    old.note_refused(None);
                    self.metrics.config_last_reload_successful.set(1);
                } else if asked {
                    info!("The configuration has not changed");
                }
                Reload::Unchanged
            }
            Ok(new) => {
                warn_of_fixed(&old, &new);
                new.note_loaded(self.clock.now());
                self.live.send_replace(Arc::new(new));
                self.refused = None;
                self.count("success");
                info!("Reloaded the configuration");
                Reload::Swapped
            }
            Err(problems) => {
                let text = problems.to_string();
                if asked || self.refused.as_ref() != Some(&text) {
                    self.count("failure");
                    old.note_refused(Some((self.clock.now(), text.clone())));
                    error!(reason = %text, "Refused a bad configuration, the old one stays in force");
                    self.refused = Some(text);
                }
                Reload::Refused
            }
        }
    }

    fn count(&self, result: &'static str) {
        self.metrics
            .config_reloads
            .get_or_create(&ResultLabel { result })
            .inc();
        self.metrics
            .config_last_reload_successful
            .set(i64::from(result == "success"));
    }
}

/// Some settings take effect only at a start.
fn warn_of_fixed(old: &Live, new: &Live) {
    let (old, new) = (&old.snapshot.config.settings, &new.snapshot.config.settings);
    let fixed = [
        ("server.listen", old.listen != new.listen),
        ("store.url", old.store.to_string() != new.store.to_string()),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        warn!(key, "Changed {key}, which takes effect at the next start");
    }
}
