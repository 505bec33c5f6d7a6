//! `explain`: what became of one run or one notification, and why, from a running daemon or else from its store.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use clap::builder::NonEmptyStringValueParser;
use reqwest::{Method, StatusCode};

use super::{Format, Outcome, UsageError, out, remote};
use crate::{
    clock::Clock, config::Config, domain::observation::RunName, pipeline::trail, store::Store,
};

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a ProwJob, its build id, the address of its page, or the id at the end of a message
    #[arg(value_name = "RUN|NOTIFICATION", value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

/// Runs the command. Exit code 1 when nothing is known of the subject.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = match Config::load(paths, environment) {
        Ok(config) => Some(config),
        // With an address one needs no configuration.
        Err(_) if args.daemon.is_named(environment) => None,
        Err(error) => return Err(error.into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shown = runtime.block_on(async {
        match asked(args, config.as_ref(), environment).await? {
            Some(shown) => Ok(Some(shown)),
            None => match &config {
                Some(config) => stored(args, config).await,
                None => Ok(None),
            },
        }
    })?;
    let Some(shown) = shown else {
        out::say(&format!(
            "nothing is known of {}: never seen, or older than store.retention",
            out::printable(&args.subject)
        ));
        return Ok(Outcome::No);
    };
    match args.format {
        Format::Json => out::line(&shown),
        Format::Text => out::line(out::printable(&shown).trim_end()),
    }
    Ok(Outcome::Done)
}

/// What a daemon says; `None` when there is none, or when it knows nothing.
async fn asked(
    args: &Args,
    config: Option<&Config>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let folder = match args.format {
        Format::Json => "/api/v1/runs",
        Format::Text => "/runs",
    };
    let path = format!(
        "{folder}/{}",
        remote::part(&RunName::meant(&args.subject).0)
    );
    let remote = args.daemon.remote(config, environment)?;
    match remote.ask(Method::GET, &path).await? {
        Some(reply) if reply.status == StatusCode::OK => Ok(Some(reply.text)),
        // Another one may listen where ours was expected, so the store has the last word.
        Some(reply) if remote.named && reply.status != StatusCode::NOT_FOUND => {
            Err(reply.problem())
        }
        Some(_) | None => Ok(None),
    }
}

async fn stored(args: &Args, config: &Config) -> Result<Option<String>> {
    let url = &config.settings.store;
    if !url.may_exist() {
        return Err(UsageError(format!(
            "there is no store at {url}; is this the daemon's configuration?"
        ))
        .into());
    }
    let store = Store::connect(url, Clock::System).await?;
    let trail = store.explain(&RunName::meant(&args.subject)).await?;
    store.close().await;
    let Some(trail) = trail else {
        return Ok(None);
    };
    Ok(Some(match args.format {
        Format::Json => serde_json::to_string(&trail)?,
        Format::Text => trail::text(&trail),
    }))
}
