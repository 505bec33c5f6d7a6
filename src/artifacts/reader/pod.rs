//! The logs of a run's pod, from deck, while the pod lives: the last resort.

use tokio::time::Instant;

use super::{Haul, Inner, name_of_deck, within};
use crate::{
    artifacts::{
        Gathered, Outcome,
        failure::Failure,
        text::{Bounds, LogSink},
    },
    domain::observation::Observation,
    evidence::LogText,
    prow::{
        deck::{self, DeckUrl},
        storage::BUILD_LOG,
    },
};

/// Containers whose logs deck is asked for.
const MAX_CONTAINERS: usize = 20;

impl Inner {
    pub(super) async fn read_deck(
        &self,
        run: &Observation,
        why: String,
        deadline: Instant,
    ) -> Gathered {
        let Some(deck) = &self.deck else {
            return Gathered::nothing(run, why);
        };
        let endpoint = name_of_deck(deck);
        let mut haul = Haul::default();
        self.add_deck_logs(run, &mut haul, deadline).await;
        let outcome = match haul.failure {
            _ if !haul.remains.logs.is_empty() => Outcome::Read,
            Some(failure) => Outcome::Unreadable {
                why: failure.why,
                endpoint,
            },
            None => Outcome::Nothing(format!("{why}; deck has no log of it either")),
        };
        Gathered {
            remains: haul.remains,
            ..Gathered::new(outcome)
        }
    }

    /// Adds what deck has of the pod's logs, while the pod lives.
    pub(super) async fn add_deck_logs(
        &self,
        run: &Observation,
        haul: &mut Haul,
        deadline: Instant,
    ) {
        let Some(deck) = &self.deck else {
            return;
        };
        let endpoint = name_of_deck(deck);
        if let Some(why) = self.left_alone(&endpoint) {
            haul.keep::<()>(Err(Failure::of_endpoint(why)));
            return;
        }
        let several = run
            .artifacts
            .containers
            .iter()
            .map(|name| Some(name.as_str()));
        let mut containers: Vec<Option<&str>> = several.collect();
        if containers.len() < 2 {
            containers = vec![None];
        }
        for container in containers.into_iter().take(MAX_CONTAINERS) {
            let log = within(deadline, self.deck_log(deck, run, container)).await;
            let failure = log.as_ref().err().filter(|failure| failure.of_endpoint);
            self.note(&endpoint, failure.map(|failure| failure.why.as_str()));
            let is_over = failure.is_some();
            let kept = haul.keep(log);
            haul.remains.logs.extend(kept);
            if is_over {
                break;
            }
        }
    }

    async fn deck_log(
        &self,
        deck: &DeckUrl,
        run: &Observation,
        container: Option<&str>,
    ) -> Result<Option<LogText>, Failure> {
        let time = self.settings.request_timeout;
        let opened = deck::log(self.http.open(), deck, run, container, time).await;
        let opened = opened.map_err(|error| Failure::of_endpoint(error.to_string()))?;
        let Some(mut response) = opened else {
            return Ok(None);
        };
        let bounds = Bounds {
            whole: self.settings.max_read,
            tail: self.settings.tail,
            unpacked: self.settings.max_unpacked,
        };
        let mut sink = LogSink::new(bounds);
        let mut taken = 0;
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                Failure::of_endpoint(format!("deck's answer broke off: {}", error.without_url()))
            })?;
            let Some(chunk) = chunk else {
                break;
            };
            taken += chunk.len();
            if taken > self.settings.max_unpacked {
                return Err(Failure::of_file(
                    "the pod's log is longer than artifacts.max_unpacked",
                ));
            }
            sink.push(&chunk)?;
        }
        let file = container.map_or_else(
            || BUILD_LOG.to_owned(),
            |name| format!("{name}-{BUILD_LOG}"),
        );
        Ok(Some(sink.finish(&file)?))
    }
}
