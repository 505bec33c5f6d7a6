//! The command line: types here, one command per file below.

pub mod backfill;
pub mod backtest;
pub mod check;
pub mod config;
pub mod deliveries;
pub mod demo;
pub mod exec;
pub mod explain;
pub mod init;
pub mod out;
pub mod preview;
pub mod remote;
pub mod send_test;
pub mod serve;
pub mod silence;
pub mod standin;
pub mod store;
pub mod values;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// Tells the right people, once and with the reason, that a release broke in Prow.
#[derive(Debug, Parser)]
#[command(
    name = "prow-notifier",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Configuration file or folder (its *.yaml in name order); may be given several times
    /// [default: /etc/prow-notifier]
    #[arg(long = "config", short = 'c', value_name = "PATH", global = true)]
    pub config: Vec<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve,
    /// Show what would be posted for recorded runs, and why; sends nothing
    Preview(preview::Args),
    /// Replay recorded runs through the configuration, or show what a second one changes
    Backtest(backtest::Args),
    /// Look into the buckets for runs of a time in which nobody told of them
    Backfill(backfill::Args),
    /// Write a first configuration from what a deck lists
    Init(init::Args),
    /// Validate the configuration: file, line and a hint for each error
    Check(check::Args),
    /// See the whole system work, without network, configuration or account
    Demo(demo::Args),
    /// Show what became of one run or one notification, and why
    Explain(explain::Args),
    /// See what was sent and what was given up, and send that again
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Run a command inside a job and report its failure at once, before Prow knows of it
    Exec(exec::Args),
    /// Make, list and end silences: times in which some things are not told
    #[command(subcommand)]
    Silence(silence::Command),
    /// Send one clearly marked test message
    SendTest(send_test::Args),
    /// Copy the store into another, such as from a file to PostgreSQL
    #[command(subcommand)]
    Store(store::Command),
    /// Stand in for Prow and Slack, to try a deployment without either
    Standin(standin::Args),
    /// Show the configuration as it is in effect, or its JSON Schema
    #[command(subcommand)]
    Config(config::Command),
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// Fine.
    Done,
    /// The answer is "no".
    No,
    /// As the command that was run.
    Code(u8),
}

/// An error of usage or configuration, exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Runs a command and turns its end into an exit code: 0 fine, 1 the answer is "no", 2 usage or
/// configuration error.
pub fn run(cli: Cli) -> ExitCode {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let level = if matches!(cli.command, Command::Serve) {
        "info"
    } else {
        "error"
    };
    // The output of `exec` is its command's; nothing of ours is logged into it.
    if !matches!(cli.command, Command::Exec(_)) {
        crate::telemetry::start(level);
    }
    let ended = match cli.command {
        Command::Preview(args) => preview::run(&args, &cli.config, &environment),
        Command::Backtest(args) => backtest::run(&args, &cli.config, &environment),
        Command::Backfill(args) => backfill::run(&args, &cli.config, &environment),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args, &cli.config, &environment),
        Command::Config(command) => config::run(&command, &cli.config, &environment),
        Command::Serve => serve::run(cli.config, environment),
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args, &cli.config, &environment),
        Command::Deliveries(command) => deliveries::run(&command, &cli.config, &environment),
        Command::Exec(args) => exec::run(&args, &environment),
        Command::Silence(command) => silence::run(&command, &cli.config, &environment),
        Command::Store(command) => store::run(&command),
        Command::SendTest(args) => send_test::run(&args, &cli.config, &environment),
        Command::Standin(args) => standin::run(&args),
    };
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Code(code)) => ExitCode::from(code),
        Err(error) => {
            out::error(&error);
            let usage = error.is::<UsageError>() || error.is::<crate::config::error::ConfigError>();
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}
