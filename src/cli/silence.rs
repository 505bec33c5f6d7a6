//! `silence`: makes, lists and ends silences. It writes to the store, where a running daemon sees it within seconds.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Format, Outcome, UsageError, out};
use crate::{
    clock::Clock,
    config::{Config, units},
    domain::{
        silence::{Draft, Silence, SilenceId, Standing, Wish},
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
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, required_unless_present = "until", conflicts_with = "until")]
    lasts: Option<Duration>,
    /// When it ends, such as 2026-07-01T18:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// When it begins; now by default
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Why; shown wherever something is held back
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who asks for it; by default the user that runs this
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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
}

/// Which silence to end.
#[derive(Debug, clap::Args)]
pub struct Expire {
    /// Its number
    #[arg(value_name = "ID")]
    id: u64,
    /// Who ends it; by default the user that runs this
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "write a duration such as 90s, 2h or 7d".to_owned())
}

/// Runs the command. Exit code 1 when there is no such silence.
pub fn run(
    command: &Command,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let url = &config.settings.store;
    if !url.may_exist() {
        return Err(UsageError(format!(
            "there is no store at {url}; is this the daemon's configuration?"
        ))
        .into());
    }
    let clock = Clock::System;
    let now = clock.now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Store::connect(url, clock).await?;
        let ended = match command {
            Command::Add(args) => {
                let author = author(args.author.as_deref(), environment)?;
                let draft = draft(args, &author, now, config.settings.longest_silence)?;
                let made = store.add_silence(draft, actor(author), now).await?;
                print(&made, args.format, now);
                Outcome::Done
            }
            Command::List(args) => list(&store, args, now).await?,
            Command::Expire(args) => {
                let author = author(args.author.as_deref(), environment)?;
                expire(&store, args, author, now).await?
            }
        };
        store.close().await;
        Ok(ended)
    })
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

async fn list(store: &Store, args: &List, now: Timestamp) -> Result<Outcome> {
    let after = if args.all { Timestamp::UNIX_EPOCH } else { now };
    let silences = store.silences(after).await?;
    if silences.is_empty() && args.format == Format::Text {
        out::say("no silence is in force or to come");
    }
    for silence in &silences {
        print(silence, args.format, now);
    }
    Ok(Outcome::Done)
}

async fn expire(store: &Store, args: &Expire, by: String, now: Timestamp) -> Result<Outcome> {
    let id = SilenceId(args.id);
    let found = store.expire_silence(id, actor(by), now).await?;
    let Some(silence) = found else {
        out::say(&format!("there is no silence {}", args.id));
        return Ok(Outcome::No);
    };
    print(&silence, args.format, now);
    Ok(Outcome::Done)
}

fn print(silence: &Silence, format: Format, now: Timestamp) {
    match format {
        Format::Json => out::line(&object(silence, now).to_string()),
        Format::Text => out::line(&out::printable(&sentence(silence, now))),
    }
}

fn object(silence: &Silence, now: Timestamp) -> Value {
    let mut object = json!(silence);
    object["standing"] = json!(silence.standing(now));
    object
}

fn sentence(silence: &Silence, now: Timestamp) -> String {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    let seconds = |from: Timestamp, to: Timestamp| words(to.duration_since(from).as_secs());
    let when = match silence.standing(now) {
        Standing::Active => format!("ends in {}", seconds(now, silence.ends_at)),
        Standing::Pending => format!("begins in {}", seconds(now, silence.starts_at)),
        Standing::Expired => match &silence.expired_by {
            Some(by) => format!("ended by {by} {} ago", seconds(silence.ends_at, now)),
            None => format!("ended {} ago", seconds(silence.ends_at, now)),
        },
    };
    format!(
        "{}  {}  {when} ({} to {})  {}  by {}: {}",
        silence.id,
        silence.standing(now).as_str(),
        silence.starts_at,
        silence.ends_at,
        matchers.join(" "),
        silence.author,
        silence.reason
    )
}
