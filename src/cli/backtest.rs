//! `backtest`: recorded runs through the configuration, with their own clock. Drives the same core as the
//! daemon; sends nothing, needs no store and no secrets.

mod compare;
mod drive;
mod history;
mod logs;
mod message;
mod problems;
mod progress;
mod report;
mod score;
mod silences;
mod source;
mod tally;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use self::{
    compare::differences,
    drive::Drive,
    history::{History, Sighting},
    logs::Logs,
    message::Message,
    progress::Progress,
    report::Report,
    score::{Marker, Truth},
    tally::Tally,
};
use super::{Outcome, out};
use crate::{config::Config, evidence::LogText};

/// What to replay.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recorded runs: one ProwJob, list or watch event per line, or whatever `preview` reads; in any order, packed
    /// with gzip or not; `-` reads standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    history: Vec<PathBuf>,
    /// Logs of these runs, lines of {"run": NAME, "log": TEXT}, packed with gzip or not
    #[arg(long, value_name = "FILE")]
    logs: Option<PathBuf>,
    /// Show only what this second configuration would say otherwise; may be given several times, as --config
    #[arg(long, value_name = "PATH")]
    against: Vec<PathBuf>,
    /// Show only what these silences would have held back, and when that would have been told instead: JSON as `silence
    /// list --all --format json` or the API gives it. Of --against, where that is given too
    #[arg(long, value_name = "FILE")]
    silences: Option<PathBuf>,
    /// Incidents that truly happened, to measure against
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for people.
    Text,
    /// One object with all sums.
    Json,
    /// One object per message, as they would go out.
    Ndjson,
}

impl Args {
    /// Whether two sides are compared.
    fn compares(&self) -> bool {
        !self.against.is_empty() || self.silences.is_some()
    }
}

/// Runs the command. With a second configuration or silences the answer is "no" when anything differs.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let streams = args.format == Format::Ndjson && !args.compares();
    let mut replay = Replay::open(args, paths, environment, streams)?;
    if replay.history.len() == 0 {
        replay.history.problems.tell();
        out::say("nothing to replay: no run was read");
        return Ok(Outcome::No);
    }
    let result = replay.go();
    replay.progress.end();
    replay.history.problems.tell();
    result?;
    if !args.compares() {
        replay.print(args.format);
        return Ok(Outcome::Done);
    }
    replay.print_differences(args.format)
}

/// A history on its way through one or two configurations.
struct Replay {
    history: History,
    logs: Option<Logs>,
    sides: Vec<Side>,
    progress: Progress,
}

/// One configuration and what it came to so far.
struct Side {
    drive: Drive,
    heard: Heard,
}

/// What was said, summed up and, where that is asked for, kept.
struct Heard {
    tally: Tally,
    marker: Option<Marker>,
    kept: Option<Vec<Message>>,
    streams: bool,
}

impl Replay {
    fn open(
        args: &Args,
        paths: &[PathBuf],
        environment: &BTreeMap<String, String>,
        streams: bool,
    ) -> Result<Self> {
        let truth = args.truth.as_deref().map(Truth::read).transpose()?;
        let against = Some(args.against.as_slice()).filter(|against| !against.is_empty());
        let configs = [paths, against.unwrap_or(paths)];
        let both = args.compares();
        let silences = args.silences.as_deref().map(silences::read).transpose()?;
        let mut sides: Vec<Side> = configs
            .into_iter()
            .take(1 + usize::from(both))
            .map(|paths| {
                Ok(Side {
                    drive: Drive::new(Config::load(paths, environment)?, both || streams),
                    heard: Heard {
                        tally: Tally::default(),
                        marker: truth.clone().map(Marker::new),
                        kept: both.then(Vec::new),
                        streams,
                    },
                })
            })
            .collect::<Result<_>>()?;
        if let (Some(silences), Some(side)) = (silences, sides.last_mut()) {
            side.drive.silence(silences);
        }
        let progress = Progress::new(streams);
        let mut history = History::read(&args.history, &progress)?;
        let read = |path: &PathBuf| Logs::read(Path::new(path), &mut history.problems);
        let logs = args.logs.as_ref().map(read).transpose()?;
        Ok(Self {
            history,
            logs,
            sides,
            progress,
        })
    }

    fn go(&mut self) -> Result<()> {
        let (sides, logs, progress) = (&mut self.sides, &mut self.logs, &self.progress);
        progress.begin("replaying", self.history.len() as u64);
        let mut done = 0;
        self.history.replay(|sighting| {
            let log = match logs {
                Some(logs) if sighting.last => logs.of(&sighting.run.run)?,
                Some(_) | None => None,
            };
            done += u64::from(sighting.last);
            progress.at(done);
            sides
                .iter_mut()
                .try_for_each(|side| side.see(sighting, log.as_ref()))
        })?;
        sides.iter_mut().try_for_each(|side| {
            let heard = &mut side.heard;
            side.drive.finish(&mut |message| heard.take(message))
        })
    }

    fn reports(&mut self) -> Vec<Report> {
        let unreadable = self.history.problems.count;
        let report = |side: &mut Side| Report {
            tally: std::mem::take(&mut side.heard.tally),
            score: side.heard.marker.take().map(Marker::score),
            unreadable,
        };
        self.sides.iter_mut().map(report).collect()
    }

    fn print(&mut self, format: Format) {
        for report in self.reports() {
            match format {
                Format::Text => report.print(),
                Format::Json => out::line(&report.json().to_string()),
                // The messages went out as they came; marks are talk beside them.
                Format::Ndjson => {
                    if let Some(score) = &report.score {
                        out::say(&json!({ "score": score }).to_string());
                    }
                }
            }
        }
    }

    fn print_differences(&mut self, format: Format) -> Result<Outcome> {
        let mut kept = self
            .sides
            .iter_mut()
            .filter_map(|side| side.heard.kept.take());
        let (config, against) = (kept.next(), kept.next());
        drop(kept);
        let found = differences(config.unwrap_or_default(), against.unwrap_or_default());
        match format {
            Format::Text => report::print_differences(&found),
            Format::Ndjson => {
                for difference in &found {
                    out::line(&serde_json::to_string(difference)?);
                }
            }
            Format::Json => {
                let sides: Vec<_> = self.reports().iter().map(Report::json).collect();
                let [config, against] = [0, 1].map(|side| sides.get(side));
                let both = json!({"differences": found, "config": config, "against": against});
                out::line(&both.to_string());
            }
        }
        Ok(if found.is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        })
    }
}

impl Side {
    fn see(&mut self, sighting: &Sighting, log: Option<&LogText>) -> Result<()> {
        let heard = &mut self.heard;
        let outcome = self
            .drive
            .see(sighting, log, &mut |message| heard.take(message))?;
        if sighting.last {
            let policy = &self.drive.policy;
            heard
                .tally
                .run(policy, &sighting.run, &outcome, sighting.at);
        }
        Ok(())
    }
}

impl Heard {
    fn take(&mut self, message: Message) -> Result<()> {
        self.tally.message(&message);
        if let Some(marker) = &mut self.marker {
            marker.message(&message);
        }
        if self.streams {
            out::line(&serde_json::to_string(&message)?);
        }
        if let Some(kept) = &mut self.kept {
            kept.push(message);
        }
        Ok(())
    }
}
