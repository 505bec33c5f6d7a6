//! `explain`: what became of a run, from the store.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

use super::{Format, Outcome, UsageError, out};
use crate::{
    clock::Clock, config::Config, domain::observation::RunName, pipeline::trail, store::Store,
};

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a ProwJob, its build id, or the id at the end of a message
    #[arg(value_name = "RUN|NOTIFICATION")]
    subject: String,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command. Exit code 1 when nothing is known of the subject.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let path = &config.settings.store_path;
    if !path.exists() {
        return Err(UsageError(format!(
            "there is no store at {}; is this the daemon's configuration?",
            path.display()
        ))
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let trail = runtime.block_on(async {
        let store = Store::open(path, Clock::System).await?;
        let trail = store.explain(&RunName(args.subject.clone())).await?;
        store.close().await;
        anyhow::Ok(trail)
    })?;
    let Some(trail) = trail else {
        out::say(&format!(
            "nothing is known of {}: never seen, or older than store.retention",
            out::printable(&args.subject)
        ));
        return Ok(Outcome::No);
    };
    match args.format {
        Format::Json => out::line(&serde_json::to_string(&trail)?),
        Format::Text => out::line(out::printable(&trail::text(&trail)).trim_end()),
    }
    Ok(Outcome::Done)
}
