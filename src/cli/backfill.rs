//! `backfill`: has a daemon look into the buckets for runs of a time in which it was not told of them. The store takes the
//! order, and the daemon on it sees that within seconds, or when it starts.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use jiff::Timestamp;

use super::{Outcome, UsageError, out, values};
use crate::{
    clock::Clock,
    config::Config,
    pipeline::{backfill, catch_up::Gap},
    store::Store,
};

/// Which time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// From when on runs may be missing, such as 2026-07-01T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    since: Timestamp,
    /// Until when; now by default
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    until: Option<Timestamp>,
}

/// Runs the command. Exit code 1 when another gap is being filled.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    if backfill::after(&config).is_none() {
        return Err(UsageError(
            "there is nowhere to look: name buckets in artifacts.defaults, and switch off neither artifacts.enabled \
             nor backfill.enabled"
                .to_owned(),
        )
        .into());
    }
    let now = Clock::System.now();
    let gap = Gap {
        since: args.since,
        until: args.until.unwrap_or(now).min(now),
    };
    if gap.since >= gap.until {
        return Err(
            UsageError("--since must be before --until, and in the past".to_owned()).into(),
        );
    }
    let url = &config.settings.store;
    if !url.may_exist() {
        return Err(UsageError(format!(
            "there is no store at {url}; start the daemon first"
        ))
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let taken = runtime.block_on(async {
        let store = Store::connect(url, Clock::System).await?;
        let taken = backfill::order(&store, gap).await;
        store.close().await;
        taken
    })?;
    if !taken {
        out::say(
            "the daemon is catching up already, its log and backfill_active in /metrics say when it is through",
        );
        return Ok(Outcome::No);
    }
    out::line(&format!(
        "the daemon will look for runs that ended between {} and {}, and tell what it finds in one summary",
        gap.since, gap.until
    ));
    Ok(Outcome::Done)
}
