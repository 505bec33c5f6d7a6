//! One configuration going through a history: every sighting at its own time, and what was said.

use anyhow::Result;

use super::{history::Sighting, message::Message};
use crate::{
    cli::preview,
    config::Config,
    domain::{
        flush::Told,
        observe::Outcome,
        policy::Policy,
        replay::{Replay, Seen},
    },
    evidence::{self, LogText, Remains},
};

/// A configuration and how far it has come.
#[derive(Debug)]
pub(super) struct Drive {
    config: Config,
    pub(super) policy: Policy,
    replay: Replay,
}

impl Drive {
    /// At the beginning of time.
    pub(super) fn new(config: Config) -> Self {
        let policy = preview::policy(&config);
        Self {
            config,
            policy,
            replay: Replay::default(),
        }
    }

    /// Sees a run; calls `each` for every message that went out before it or because of it.
    pub(super) fn see(
        &mut self,
        sighting: &Sighting,
        log: Option<&LogText>,
        each: &mut impl FnMut(Message) -> Result<()>,
    ) -> Result<Outcome> {
        let seen = feed(&mut self.replay, &self.policy, sighting, log);
        // Nobody asks here what changed since when.
        drop(self.replay.state.take_changes());
        self.tell(&seen.earlier, each)?;
        self.tell(&seen.told, each)?;
        Ok(seen.outcome)
    }

    /// Lets what is owed fall due.
    pub(super) fn finish(&mut self, each: &mut impl FnMut(Message) -> Result<()>) -> Result<()> {
        let told = self.replay.finish(&self.policy);
        self.tell(&told, each)
    }

    fn tell(&self, told: &[Told], each: &mut impl FnMut(Message) -> Result<()>) -> Result<()> {
        told.iter()
            .try_for_each(|told| each(Message::new(&self.config, &self.replay.state, told)))
    }
}

/// What [`Replay::see`] does, with what the log says known before anything is said.
fn feed(replay: &mut Replay, policy: &Policy, sighting: &Sighting, log: Option<&LogText>) -> Seen {
    let run = &sighting.run;
    let finding = log.and_then(|log| {
        evidence::explain(&Remains {
            description: run.description.clone(),
            logs: vec![log.clone()],
            ..Remains::default()
        })
    });
    let Some(finding) = finding else {
        return replay.see(policy, run);
    };
    let earlier = replay.advance(policy, sighting.at);
    let outcome = replay.state.observe(policy, run, sighting.at);
    replay.state.learn(&run.run, &finding.brief(), false);
    let told = replay.state.flush(policy, sighting.at, false);
    Seen {
        outcome,
        earlier,
        told,
    }
}
