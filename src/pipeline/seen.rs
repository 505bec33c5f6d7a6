//! What a source that lists runs has shown so far: each run is accepted once for each step that it takes, however
//! often it is shown.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::Shared;
use crate::{
    domain::{
        observation::{Observation, RunName},
        prowjob::State,
    },
    store::StoreError,
};

/// Runs that are remembered as handled; more are looked up in the store. About 100 bytes each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(20_000).expect("not zero");

/// How far a run had come when last seen, and whether it was over.
type Progress = (u8, bool);

/// Remembers how far runs have come.
#[derive(Debug)]
pub struct Seen {
    known: LruCache<RunName, Progress>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            known: LruCache::new(REMEMBERED),
        }
    }
}

impl Seen {
    /// Accepts those runs that are further than when last seen. `initial`: they stand in the first list ever.
    pub async fn take_in(
        &mut self,
        shared: &Shared,
        runs: Vec<Observation>,
        initial: bool,
    ) -> Result<(), StoreError> {
        let mut new: Vec<Observation> = runs
            .into_iter()
            .filter(|run| self.is_further(run))
            .collect();
        let names: Vec<RunName> = new
            .iter()
            .map(|run| run.run.clone())
            .filter(|name| !self.known.contains(name))
            .collect();
        if !names.is_empty() {
            for (name, known) in shared.store.known(names).await? {
                self.known.put(
                    name,
                    (State::parse(&known.state).progress(), known.finished),
                );
            }
            new.retain(|run| self.is_further(run));
        }
        for run in &mut new {
            run.initial = initial;
        }
        let seen: Vec<(RunName, Progress)> = new
            .iter()
            .map(|run| (run.run.clone(), progress(run)))
            .collect();
        shared.accept(new).await?;
        for (name, progress) in seen {
            self.known.put(name, progress);
        }
        Ok(())
    }

    fn is_further(&mut self, run: &Observation) -> bool {
        self.known
            .get(&run.run)
            .is_none_or(|known| *known < progress(run) && !known.1)
    }
}

fn progress(run: &Observation) -> Progress {
    (run.state.progress(), run.is_finished())
}
