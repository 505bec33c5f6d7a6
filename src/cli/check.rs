//! `check`: is the configuration fit for the daemon, and do the places that it names answer?

mod online;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::{Format, Outcome, out};
use crate::{clock::Clock, config::Config, pipeline::live::Live};

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also try deck, the buckets of logs and the webhooks' hosts; posts nothing
    #[arg(long)]
    online: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// Fine.
    Ok,
    /// Wrong.
    Failed,
    /// There is nothing to check, or what it needs failed.
    Skipped,
}

/// One line of the checklist.
#[derive(Debug, Serialize)]
struct Item {
    check: String,
    status: Status,
    detail: String,
    /// What to do; of failures only.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The checklist, printed as it grows.
struct List {
    format: Format,
    failed: usize,
}

/// Runs the command. Exit code 2 when something is wrong with the configuration, with every problem printed; 1 when
/// something does not answer.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let live = Live::build(config, environment, None)?;
    let mut list = List {
        format: args.format,
        failed: 0,
    };
    print_config(&live, &mut list);
    if args.online {
        online::check(&live, environment, &mut list)?;
    }
    Ok(if list.failed == 0 {
        Outcome::Done
    } else {
        Outcome::No
    })
}

fn print_config(live: &Live, list: &mut List) {
    let config = &live.snapshot.config;
    let sums = format!(
        "{}, {} ({}), {}",
        out::count(config.rules.classify.len() as u64, "rule"),
        out::count(config.rules.receivers.len() as u64, "receiver"),
        out::count(live.snapshot.destinations.len() as u64, "destination"),
        out::count(config.rules.routes.len() as u64, "route"),
    );
    if list.format == Format::Json {
        list.ok("config", sums);
    } else {
        for file in &config.files {
            out::line(&format!(
                "{} {}",
                out::styled(out::GREEN, "✓"),
                file.display()
            ));
        }
        out::line(&sums);
    }
    warn(live);
}

/// How Slack's mentions begin.
const MENTIONS: [&str; 5] = ["<!subteam^", "<@", "<!here", "<!channel", "<!everyone"];

/// Tells of what is allowed, and hardly meant.
fn warn(live: &Live) {
    let warning = |what: &str| {
        let mark = out::styled(out::YELLOW, "warning:");
        out::say(&format!("{mark} {what}"));
    };
    let settings = &live.snapshot.config.settings;
    let pulled = settings.deck.is_some() || settings.watch.is_some();
    if !pulled && settings.hmac_file.is_none() && settings.pubsub.is_none() {
        warning(
            "none of sources.deck.url, sources.watch.namespace, sources.webhook.hmac_file and sources.pubsub.audience \
             is set: nothing would ever come in",
        );
    }
    for receiver in &live.snapshot.config.rules.receivers {
        let mention = receiver.mention_on_critical.as_deref();
        if mention.is_some_and(|mention| !MENTIONS.iter().any(|known| mention.contains(known))) {
            warning(&format!(
                "mention_on_critical of receiver `{}` calls nobody: write <!subteam^ID> for a user group, <@ID> for a \
                 person, or <!here>",
                receiver.name
            ));
        }
    }
    let now = Clock::System.now();
    let mutes = live.snapshot.policy.mutes.iter();
    for window in mutes.filter(|window| window.never_ends(now)) {
        warning(&format!(
            "mute window `{}` never ends ({}): what it holds back is never told, not even summed up",
            window.name,
            window.words()
        ));
    }
}

impl List {
    fn ok(&mut self, check: &str, detail: String) {
        self.add(check, Status::Ok, detail, None);
    }

    fn skipped(&mut self, check: &str, detail: &str) {
        self.add(check, Status::Skipped, detail.to_owned(), None);
    }

    fn failed(&mut self, check: &str, detail: String, remedy: &str) {
        self.failed += 1;
        self.add(check, Status::Failed, detail, Some(remedy.to_owned()));
    }

    fn add(&mut self, check: &str, status: Status, detail: String, remedy: Option<String>) {
        let item = Item {
            check: check.to_owned(),
            status,
            detail,
            remedy,
        };
        if self.format == Format::Json {
            out::line(&serde_json::to_string(&item).unwrap_or_default());
            return;
        }
        let mark = match status {
            Status::Ok => out::styled(out::GREEN, "✓"),
            Status::Failed => out::styled(out::RED, "✗"),
            Status::Skipped => out::styled(out::DIM, "–"),
        };
        let detail = out::printable(&item.detail);
        out::line(&format!("{mark} {check}: {detail}"));
        if let Some(remedy) = &item.remedy {
            out::line(&format!("    {}", out::printable(remedy)));
        }
    }
}
