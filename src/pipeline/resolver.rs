//! Finds the runs behind messages that name no ProwJob: Prow stores the ProwJob in the run's own folder.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Shared;
use crate::{
    domain::{
        location::Location,
        observation::{Observation, RunName, Source},
    },
    prow::folder::{self, FINISHED, PROWJOB},
    telemetry::short,
};

/// Folders that are looked into at once.
const AT_ONCE: usize = 8;

/// Runs that somebody waits for.
#[derive(Debug, Default)]
pub struct Unresolved {
    wanted: Mutex<BTreeMap<RunName, Observation>>,
    bell: Notify,
}

impl Unresolved {
    /// Asks for a run to be looked for, once more if it was not found before.
    pub fn ask(&self, run: &Observation) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(run.run.clone(), run.clone());
        self.bell.notify_one();
    }

    fn take(&self) -> Option<Observation> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.pop_first().map(|(_, run)| run)
    }
}

/// The one that looks.
#[derive(Debug)]
pub struct Resolver {
    shared: Shared,
}

impl Resolver {
    /// A resolver that looks for nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Looks until told to stop. Who still waits asks again.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE
                && let Some(run) = self.shared.unresolved.take()
            {
                let shared = self.shared.clone();
                running.spawn(async move { look(&shared, &run).await });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.unresolved.bell.notified() => {}
                Some(_) = running.join_next() => {}
            }
        }
        running.shutdown().await;
    }
}

/// Accepts the run as its folder tells of it, if it does.
async fn look(shared: &Shared, told: &Observation) {
    let Some(Ok(place)) = told.artifacts.folder.as_deref().map(Location::parse) else {
        return;
    };
    let name = short(&told.run.0);
    let reader = shared.library.reader(shared);
    let files = match reader.files(&place, &[PROWJOB, FINISHED]).await {
        Ok(files) => files,
        Err(why) => {
            debug!(run = name, "Cannot look up a run in its folder: {why}");
            return;
        }
    };
    let [Some(prowjob), finished] = files.as_slice() else {
        return;
    };
    let stored = match folder::run(prowjob, Source::Pubsub, shared.clock.now()) {
        Ok(stored) => stored,
        Err(error) => {
            warn!(run = name, "Cannot read the ProwJob in {place}: {error}");
            return;
        }
    };
    let Some(run) = folder::ended(stored, told, finished.as_deref()) else {
        warn!(run = name, "The ProwJob in {place} is of another run");
        return;
    };
    if let Err(error) = shared.accept(vec![run]).await {
        warn!(
            error = &error as &dyn std::error::Error,
            run = name,
            "Cannot store a run that was looked up, trying again"
        );
    }
}
