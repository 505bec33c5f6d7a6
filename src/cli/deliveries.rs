//! `deliveries list` and `deliveries replay`: what was sent, what was given up, and sending that again. A running
//! daemon does it if there is one, else its store.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::{
    Format, Outcome, UsageError, out,
    remote::{self, Answer},
    values,
};
use crate::{
    board::deliveries::DeliveryItem,
    clock::Clock,
    config::Config,
    domain::nearest,
    store::{
        Actor, Store,
        pages::deliveries::{Standing, WhichDeliveries},
    },
};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deliveries with the last answer of each, the newest first
    List(List),
    /// Send what was given up again, once
    Replay(Replay),
}

/// What to list.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only dead letters: given up, and nobody got them
    #[arg(long)]
    dead: bool,
    /// Only those to this receiver, such as by-service/s3
    #[arg(long)]
    receiver: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

/// What to send again.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, args = ["id", "all_of"])]
pub struct Replay {
    /// Number of a delivery, as `deliveries list --dead` shows it
    #[arg(value_parser = values::number::<i64>)]
    id: Option<i64>,
    /// All dead letters of a receiver, in their order
    #[arg(long, value_name = "RECEIVER")]
    all_of: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    daemon: remote::Where,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<DeliveryItem>,
}

#[derive(Deserialize)]
struct Replayed {
    replayed: u64,
}

/// Runs the command. Exit code 1 when there is no such dead letter.
pub fn run(
    command: &Command,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let daemon = match command {
        Command::List(list) => &list.daemon,
        Command::Replay(replay) => &replay.daemon,
    };
    let config = match Config::load(paths, environment) {
        Ok(config) => Some(config),
        Err(_) if daemon.is_named(environment) => None,
        Err(error) => return Err(error.into()),
    };
    let remote = daemon.remote(config.as_ref(), environment)?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list(args, config.as_ref(), &remote).await,
            Command::Replay(args) => replay(args, config.as_ref(), &remote, environment).await,
        }
    })
}

async fn list(args: &List, config: Option<&Config>, remote: &remote::Remote) -> Result<Outcome> {
    let items = match asked(args, remote).await? {
        Some(items) => items,
        None => stored(args, config).await?,
    };
    match args.format {
        Format::Json => {
            for item in &items {
                out::line(&serde_json::to_string(item)?);
            }
        }
        Format::Text if items.is_empty() => out::say(&none(args, config)),
        Format::Text => {
            let widest = |of: fn(&DeliveryItem) -> &str| {
                let widths = items.iter().map(|item| of(item).chars().count());
                widths.max().unwrap_or(0)
            };
            let (receiver, event) = (widest(|it| &it.receiver), widest(|it| &it.event));
            for item in &items {
                out::line(&lines(item, receiver, event));
            }
        }
    }
    Ok(Outcome::Done)
}

/// What it means that there are none.
fn none(args: &List, config: Option<&Config>) -> String {
    let nothing = if args.dead {
        "there is no dead letter"
    } else {
        "nothing was sent or is to be sent"
    };
    let Some(receiver) = &args.receiver else {
        return nothing.to_owned();
    };
    let of = if args.dead { "of" } else { "to" };
    let nothing = format!("{nothing} {of} this receiver");
    let Some(config) = config else {
        return nothing;
    };
    // A folder of webhooks is named once for all of its receivers.
    let (named, _) = receiver.split_once('/').unwrap_or((receiver, ""));
    let known = config.rules.receivers.iter().map(|it| it.name.as_str());
    if known.clone().any(|name| name == named) {
        return nothing;
    }
    let hint = nearest::hint(named, known);
    format!(
        "{nothing}: none is named `{}`{hint}",
        out::printable(receiver)
    )
}

async fn asked(args: &List, remote: &remote::Remote) -> Result<Option<Vec<DeliveryItem>>> {
    let mut path = format!("/api/v1/deliveries?limit={}", args.limit);
    if args.dead {
        path.push_str("&state=dead");
    }
    if let Some(receiver) = &args.receiver {
        path.push_str("&receiver=");
        path.push_str(&remote::part(receiver));
    }
    match remote.api(Method::GET, &path, None, "delivery").await? {
        Answer::Good(text) => Ok(Some(remote::read::<Listed>(&text)?.items)),
        Answer::Unknown | Answer::Nobody => Ok(None),
    }
}

async fn stored(args: &List, config: Option<&Config>) -> Result<Vec<DeliveryItem>> {
    let store = open(config).await?;
    let found = store
        .deliveries(WhichDeliveries {
            standing: args.dead.then_some(Standing::Dead),
            receiver: args.receiver.clone(),
            before: None,
            limit: args.limit.into(),
        })
        .await?;
    store.close().await;
    Ok(found.into_iter().map(DeliveryItem::of).collect())
}

/// A delivery in one line, what was answered in a second one where that says more than its state.
fn lines(item: &DeliveryItem, receiver: usize, event: usize) -> String {
    let answer = match item.attempts.last() {
        None => "not tried yet".to_owned(),
        Some(last) if last.detail.is_empty() => last.outcome.clone(),
        Some(last) => format!("{}: {}", last.outcome, last.detail),
    };
    let style = match Standing::parse(&item.state) {
        Some(Standing::Dead) => out::RED,
        Some(Standing::Sent) => out::GREEN,
        Some(Standing::Pending | Standing::Diverted) | None => out::YELLOW,
    };
    let id = out::styled(out::BOLD, &format!("{:>6}", item.id));
    let state = out::styled(style, &format!("{:8}", item.state));
    let rest = format!(
        "{}  {:receiver$}  {:event$}  id:{}  {}",
        item.created_at, item.receiver, item.event, item.message, item.about
    );
    let flat = |text: &str| out::printable(text).replace('\n', " ");
    let mut lines = format!("{id}  {state}  {}", flat(&rest));
    if answer != item.state {
        lines.push_str("\n                  ");
        lines.push_str(&out::styled(out::DIM, &flat(&answer)));
    }
    lines
}

async fn replay(
    args: &Replay,
    config: Option<&Config>,
    remote: &remote::Remote,
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let replayed = match told(args, remote).await? {
        Some(replayed) => replayed,
        None => write(args, config, environment).await?,
    };
    match args.format {
        Format::Json => out::line(&serde_json::json!({ "replayed": replayed }).to_string()),
        Format::Text if replayed > 0 => {
            let again = if replayed == 1 { "is" } else { "are" };
            let messages = out::count(replayed, "message");
            out::line(&format!("{messages} {again} sent again"));
        }
        Format::Text => out::say("there is no such dead letter; see deliveries list --dead"),
    }
    Ok(if replayed > 0 {
        Outcome::Done
    } else {
        Outcome::No
    })
}

/// Has the daemon do it; `None` when there is none. One that refuses is no reason to go behind its back.
async fn told(args: &Replay, remote: &remote::Remote) -> Result<Option<u64>> {
    let path = match (&args.all_of, args.id) {
        (Some(receiver), _) => format!("/api/v1/receivers/{}/replay", remote::part(receiver)),
        (None, id) => format!("/api/v1/deliveries/{}/replay", id.unwrap_or_default()),
    };
    let answer = remote.api(Method::POST, &path, None, "dead letter").await?;
    Ok(match answer {
        Answer::Good(text) => Some(remote::read::<Replayed>(&text)?.replayed),
        Answer::Unknown => Some(0),
        Answer::Nobody => None,
    })
}

async fn write(
    args: &Replay,
    config: Option<&Config>,
    environment: &BTreeMap<String, String>,
) -> Result<u64> {
    let store = open(config).await?;
    let actor = Actor {
        who: environment
            .get("USER")
            .cloned()
            .unwrap_or_else(|| "somebody".to_owned()),
        by: "store".to_owned(),
    };
    let replayed = match (&args.all_of, args.id) {
        (Some(receiver), _) => store.replay_all(receiver, &actor).await?,
        (None, Some(id)) => u64::from(store.replay(id, &actor).await?),
        (None, None) => 0,
    };
    store.close().await;
    Ok(replayed)
}

async fn open(config: Option<&Config>) -> Result<Store> {
    let config =
        config.context("no daemon answers, and there is no configuration to find its store by")?;
    let url = &config.settings.store;
    if !url.may_exist() {
        return Err(UsageError(format!(
            "there is no store at {url}; is this the daemon's configuration?"
        ))
        .into());
    }
    Ok(Store::connect(url, Clock::System).await?)
}
