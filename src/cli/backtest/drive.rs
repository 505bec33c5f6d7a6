//! One configuration going through a history: every sighting at its own time, and what was said.

use anyhow::Result;
use jiff::Timestamp;

use super::{history::Sighting, message::Message};
use crate::{
    cli::preview,
    config::Config,
    domain::{
        evidence::Finding, flush::Told, observation::Observation, observe::Outcome, policy::Policy,
        prowjob::State, replay::Replay, silence::Silence,
    },
    evidence::{self, LogText, Remains, redact::Redactor},
};

/// A configuration and how far it has come.
#[derive(Debug)]
pub(super) struct Drive {
    config: Config,
    redactor: Redactor,
    pub(super) policy: Policy,
    replay: Replay,
    with_text: bool,
}

impl Drive {
    /// At the beginning of time; messages have a text only where that is asked for.
    pub(super) fn new(config: Config, with_text: bool) -> Self {
        let policy = preview::policy(&config, true);
        let redactor = config.redactor();
        let retention = config.settings.retention;
        Self {
            config,
            redactor,
            policy,
            replay: Replay::retaining(retention),
            with_text,
        }
    }

    /// Lets silences hold back what they cover, each in its own time.
    pub(super) fn silence(&mut self, silences: Vec<Silence>) {
        self.replay.state.set_silences(silences, Timestamp::MIN);
    }

    /// Sees a run; calls `each` for every message that went out before it or because of it.
    pub(super) fn see(
        &mut self,
        sighting: &Sighting,
        log: Option<&LogText>,
        each: &mut impl FnMut(Message) -> Result<()>,
    ) -> Result<Outcome> {
        let run = &sighting.run;
        let text = log.map(|log| String::from_utf8_lossy(&log.bytes));
        let finding = log
            .filter(|_| run.is_finished() && run.state != State::Success)
            .map(|log| self.explain(run, log));
        let seen = self.replay.see_at(
            &self.policy,
            run,
            sighting.at,
            text.as_deref(),
            finding.as_ref(),
        );
        // Nobody asks here what changed since when.
        drop(self.replay.state.take_changes());
        self.tell(&seen.earlier, each)?;
        self.tell(&seen.told, each)?;
        self.replay.tidy(&self.policy);
        Ok(seen.outcome)
    }

    fn explain(&self, run: &Observation, log: &LogText) -> Finding {
        let remains = Remains {
            description: run.description.clone(),
            logs: vec![log.clone()],
            ..Remains::default()
        };
        evidence::explain(&remains, &self.config.log_rules, &self.redactor)
    }

    /// Lets what is owed fall due.
    pub(super) fn finish(&mut self, each: &mut impl FnMut(Message) -> Result<()>) -> Result<()> {
        let told = self.replay.finish(&self.policy);
        self.tell(&told, each)
    }

    fn tell(&self, told: &[Told], each: &mut impl FnMut(Message) -> Result<()>) -> Result<()> {
        told.iter().try_for_each(|told| {
            let state = &self.replay.state;
            each(Message::new(&self.config, state, told, self.with_text))
        })
    }
}
