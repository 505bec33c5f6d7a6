//! `store migrate`: copies a store into another, from a file to a server or back.

use std::io::{IsTerminal as _, stderr};

use anyhow::Result;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::{Outcome, UsageError, out};
use crate::{clock::Clock, config::store_url::StoreUrl, store::Store};

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copies everything into an empty store; no daemon may run meanwhile
    Migrate(Migrate),
}

/// From where to where.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The store that is copied: `sqlite:///path` or `postgres://user@host/database`
    #[arg(long, value_name = "URL")]
    from: String,
    /// An empty store; a file is made
    #[arg(long, value_name = "URL")]
    to: String,
    /// File with the password for PostgreSQL
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<Outcome> {
    let Command::Migrate(args) = command;
    let parse = |flag: &str, url: &str| {
        StoreUrl::parse(url, args.password_file.clone())
            .map_err(|hint| UsageError(format!("{flag} is not a store this version knows: {hint}")))
    };
    let (from, to) = (parse("--from", &args.from)?, parse("--to", &args.to)?);
    if !from.may_exist() {
        return Err(UsageError(format!("there is no store at {from}")).into());
    }
    if from.to_string() == to.to_string() {
        return Err(UsageError("--from and --to are the same store".to_owned()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let rows = runtime.block_on(async {
        let source = Store::connect(&from, Clock::System).await?;
        let target = Store::connect(&to, Clock::System).await?;
        let bar = if stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        let copied = source
            .copy_into(&target, |copied| {
                bar.set_message(format!("{}: {} rows", copied.table, copied.rows));
                bar.tick();
            })
            .await;
        bar.finish_and_clear();
        source.close().await;
        target.close().await;
        copied
    })?;
    out::line(&format!(
        "copied {rows} rows from {from} to {to}; set store.url to the new one and start the daemon"
    ));
    Ok(Outcome::Done)
}
