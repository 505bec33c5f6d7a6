//! `silence`: makes, lists and ends silences. A running daemon does it if there is one that knows us, else its store,
//! where a daemon sees it within seconds.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    Format, Outcome, UsageError, out,
    remote::{self, Answer, Remote},
    values,
};
use crate::{
    board::silences::One,
    clock::Clock,
    config::Config,
    domain::{
        silence::{Draft, SilenceId, Standing, Wish},
        time::words,
    },
    store::{Actor, Store},
};

/// What to do about silences.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a silence: what matches is not told before it ends
    Add(Add),
    /// List the silences that are in force or to come
    List(List),
    /// End a silence now; what it held back and is still broken is told
    Expire(Expire),
}

/// A silence to make.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// What it is about, such as 'service="s3"' or 'stage=~"publish|umbrella.*"'; all must match
    #[arg(value_name = "MATCHER", required = true)]
    matchers: Vec<String>,
    /// How long it lasts, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration, required_unless_present = "until", conflicts_with = "until")]
    lasts: Option<Duration>,
    /// When it ends, such as 2026-07-01T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    until: Option<Timestamp>,
    /// When it begins; now by default
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    from: Option<Timestamp>,
    /// Why; shown wherever something is held back
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it, by default the user that runs this; a daemon goes by the token instead
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

/// What to list.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Those that have ended too
    #[arg(long)]
    all: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

/// Which silence to end.
#[derive(Debug, clap::Args)]
pub struct Expire {
    /// Its number, with which its line begins in `silence list`
    #[arg(value_name = "ID", value_parser = values::number::<u64>)]
    id: u64,
    /// Who ends it, by default the user that runs this; a daemon goes by the token instead
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

#[derive(Deserialize)]
struct Listed {
    silences: Vec<One>,
}

impl Command {
    fn daemon(&self) -> &remote::Where {
        match self {
            Self::Add(args) => &args.daemon,
            Self::List(args) => &args.daemon,
            Self::Expire(args) => &args.daemon,
        }
    }

    fn format(&self) -> Format {
        match self {
            Self::Add(args) => args.format,
            Self::List(args) => args.format,
            Self::Expire(args) => args.format,
        }
    }

    /// Whose name was given: only the store takes another than the token's.
    fn author(&self) -> Option<&str> {
        match self {
            Self::Add(args) => args.author.as_deref(),
            Self::Expire(args) => args.author.as_deref(),
            Self::List(_) => None,
        }
    }
}

/// Runs the command. Exit code 1 when there is no such silence.
pub fn run(
    command: &Command,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let daemon = command.daemon();
    let config = match Config::load(paths, environment) {
        Ok(config) => Some(config),
        // With an address one needs no configuration.
        Err(_) if daemon.is_named(environment) => None,
        Err(error) => return Err(error.into()),
    };
    let remote = daemon.remote(config.as_ref(), environment)?;
    if remote.named && command.author().is_some() {
        let told =
            "a daemon goes by the token: leave --author out, or leave out where the daemon is";
        return Err(UsageError(told.to_owned()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(async {
        let answer = if command.author().is_some() {
            Answer::Nobody
        } else {
            ask(command, &remote).await?
        };
        match answer {
            Answer::Good(text) => read(command, &text),
            Answer::Unknown => Ok(None),
            Answer::Nobody => stored(command, config.as_ref(), environment).await,
        }
    })?;
    show(command, found)
}

fn show(command: &Command, found: Option<Vec<One>>) -> Result<Outcome> {
    let Some(found) = found else {
        out::say("there is no such silence; see silence list --all");
        return Ok(Outcome::No);
    };
    for one in &found {
        match command.format() {
            Format::Json => out::line(&serde_json::to_string(one)?),
            Format::Text => out::line(&out::printable(&sentence(one))),
        }
    }
    if found.is_empty() && command.format() == Format::Text {
        out::say(match command {
            Command::List(List { all: true, .. }) => "there is no silence",
            _ => "no silence is in force or to come",
        });
    }
    Ok(Outcome::Done)
}

/// Has a daemon do it.
async fn ask(command: &Command, remote: &Remote) -> Result<Answer> {
    match command {
        Command::Add(args) => {
            let body = json!({
                "matchers": args.matchers,
                "reason": args.reason,
                "starts_at": args.from,
                "ends_at": args.until,
                "lasts_s": args.lasts.map(|lasts| lasts.as_secs()),
            });
            let path = "/api/v1/silences";
            remote.api(Method::POST, path, Some(&body), "silence").await
        }
        Command::List(args) => {
            let path = format!("/api/v1/silences?all={}", args.all);
            remote.api(Method::GET, &path, None, "silence").await
        }
        Command::Expire(args) => {
            let path = format!("/api/v1/silences/{}/expire", args.id);
            remote.api(Method::POST, &path, None, "silence").await
        }
    }
}

fn read(command: &Command, text: &str) -> Result<Option<Vec<One>>> {
    let Command::List(args) = command else {
        return Ok(Some(vec![remote::read(text)?]));
    };
    let mut listed: Listed = remote::read(text)?;
    // The board shows for a day what has ended.
    let wanted = |one: &One| args.all || one.standing != Standing::Expired;
    listed.silences.retain(wanted);
    Ok(Some(listed.silences))
}

/// Does it in the store.
async fn stored(
    command: &Command,
    config: Option<&Config>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<Vec<One>>> {
    let config =
        config.context("no daemon answers, and there is no configuration to find its store by")?;
    let settings = &config.settings;
    let url = &settings.store;
    if !url.may_exist() {
        return Err(UsageError(format!(
            "there is no store at {url}; is this the daemon's configuration?"
        ))
        .into());
    }
    let clock = Clock::System;
    let now = clock.now();
    let store = Store::connect(url, clock).await?;
    let found = match command {
        Command::Add(args) => {
            let author = author(args.author.as_deref(), environment)?;
            let draft = draft(args, &author, now, settings.longest_silence)?;
            vec![store.add_silence(draft, actor(author), now).await?]
        }
        Command::List(args) => {
            let after = if args.all { Timestamp::UNIX_EPOCH } else { now };
            store.silences(after).await?
        }
        Command::Expire(args) => {
            let author = author(args.author.as_deref(), environment)?;
            let ended = store.expire_silence(SilenceId(args.id), actor(author), now);
            let Some(ended) = ended.await? else {
                return Ok(None);
            };
            vec![ended]
        }
    };
    store.close().await;
    let shown = found.iter().map(|silence| One::new(silence, now));
    Ok(Some(shown.collect()))
}

fn author(given: Option<&str>, environment: &BTreeMap<String, String>) -> Result<String> {
    let user = || {
        ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| environment.get(*name))
    };
    let author = given.or_else(|| user().map(String::as_str));
    Ok(author
        .map(str::to_owned)
        .ok_or_else(|| UsageError("say who you are with --author NAME".to_owned()))?)
}

/// Whoever may write the file may act.
fn actor(who: String) -> Actor {
    Actor {
        who,
        by: "store".to_owned(),
    }
}

fn draft(args: &Add, author: &str, now: Timestamp, longest: Duration) -> Result<Draft> {
    let begins = args.from.unwrap_or(now);
    let lasts = args.lasts.unwrap_or_default();
    let ends_at = args
        .until
        .unwrap_or_else(|| begins.checked_add(lasts).unwrap_or(Timestamp::MAX));
    let wish = Wish {
        matchers: &args.matchers,
        author,
        reason: &args.reason,
        starts_at: args.from,
        ends_at,
    };
    Ok(Draft::read(&wish, now, longest).map_err(|error| UsageError(error.to_string()))?)
}

fn sentence(one: &One) -> String {
    let now = one.ends_at - SignedDuration::from_secs(one.ends_in_s);
    let seconds = |from: Timestamp, to: Timestamp| words(to.duration_since(from).as_secs());
    let when = match one.standing {
        Standing::Active => format!("ends in {}", seconds(now, one.ends_at)),
        Standing::Pending => format!("begins in {}", seconds(now, one.starts_at)),
        Standing::Expired => match &one.expired_by {
            Some(by) => format!("ended by {by} {} ago", seconds(one.ends_at, now)),
            None => format!("ended {} ago", seconds(one.ends_at, now)),
        },
    };
    format!(
        "{}  {}  {when} ({} to {})  {}  by {}: {}",
        one.id,
        one.standing.as_str(),
        one.starts_at,
        one.ends_at,
        one.matchers.join(" "),
        one.author,
        one.reason
    )
}
