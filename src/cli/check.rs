//! `check`: is the configuration fit for the daemon?

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

use super::{Outcome, out};
use crate::{config::Config, pipeline::live::Live};

/// Runs the command. Exit code 2 when something is wrong, with every problem printed.
pub fn run(paths: &[PathBuf], environment: &BTreeMap<String, String>) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let live = Live::build(config, environment, None)?;
    let config = &live.snapshot.config;
    for file in &config.files {
        out::line(&format!(
            "{} {}",
            out::styled(out::GREEN, "✓"),
            file.display()
        ));
    }
    out::line(&format!(
        "{} rules, {} receivers ({} destinations), {} routes",
        config.rules.classify.len(),
        config.rules.receivers.len(),
        live.snapshot.destinations.len(),
        config.rules.routes.len(),
    ));
    if config.settings.deck.is_none() && config.settings.hmac_file.is_none() {
        out::say(&format!(
            "{} neither sources.deck.url nor sources.webhook.hmac_file is set: nothing would ever come in",
            out::styled(out::YELLOW, "warning:")
        ));
    }
    Ok(Outcome::Done)
}
