//! `preview`: what would be posted for recorded runs, and why. Drives the same core as the daemon, each
//! run at the moment it ended, and sends nothing.

mod logs;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use serde_json::Value;

use self::logs::Findings;
use super::{Outcome, UsageError, out, values};
use crate::{
    clock::Clock,
    config::{Config, rules::Receiver},
    domain::{
        classify::Severity,
        decision::Decision,
        flush::Told,
        notification::Notification,
        observation::{Observation, Source},
        policy::Policy,
        replay::{Replay, Seen, seen_at},
        route::Reach,
        verdict::Verdict,
    },
    http::Http,
    prow::{deck, deck::DeckUrl, parse},
    slack::{Look, builder_url, preview_text, render},
};

/// What to preview.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files with a ProwJob, a list, a deck body or NDJSON, as JSON or YAML, packed with gzip or not; `-` or nothing
    /// reads standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read the runs from this deck instead
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    deck: Option<String>,
    /// Read logs from this folder, laid out as the bucket is (FOLDER/s3/BUCKET/logs/JOB/BUILD_ID/build-log.txt, with
    /// or without s3/BUCKET)
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_logs")]
    artifacts: Option<PathBuf>,
    /// Read no logs, so show no reasons from them
    #[arg(long)]
    no_logs: bool,
    /// Only runs of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only runs that ended (or started) within this time, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    since: Option<Duration>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print a preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: the decision, and the message as it will look.
    Text,
    /// One object per run.
    Json,
    /// The Slack payloads alone, one per line.
    Slack,
}

/// Stands for the receiver where none is configured, so that the message can be shown all the same.
const NOBODY: &str = "(no receiver configured)";

/// Runs the command.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let clock = Clock::System;
    let (runs, problems) = match &args.deck {
        Some(url) => from_deck(url, &config, &clock)?,
        None => from_files(&args.files, &clock)?,
    };
    for problem in &problems {
        out::say(&format!(
            "{} {}",
            out::styled(out::YELLOW, "warning:"),
            out::printable(problem)
        ));
    }
    let read = runs.len();
    let runs = filter(runs, args, &clock);
    if runs.is_empty() {
        out::say(&format!("nothing to preview: {}", why_none(read, args)));
        return Ok(if problems.is_empty() {
            Outcome::Done
        } else {
            Outcome::No
        });
    }
    let policy = policy(&config, args.deck.is_some());
    let findings = match logs::reader(args, &config, environment, &clock)? {
        Some(reader) => logs::read(&reader, &runs, &config, &policy)?,
        None => BTreeMap::new(),
    };
    let preview = Preview::new(&config, &policy, &runs, &findings);
    match args.format {
        Format::Json => preview.print_json()?,
        Format::Slack => preview.print_slack(),
        Format::Text => preview.print_text(),
    }
    Ok(if problems.is_empty() {
        Outcome::Done
    } else {
        Outcome::No
    })
}

type Read = (Vec<Observation>, Vec<String>);

/// What is packed with gzip, unpacked; anything else as it is.
fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
    Ok(plain)
}

fn from_files(files: &[PathBuf], clock: &Clock) -> Result<Read> {
    let stdin = [PathBuf::from("-")];
    let files = if files.is_empty() { &stdin[..] } else { files };
    let (mut runs, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        let is_input = file.as_os_str() == "-";
        let name = if is_input {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        let bytes = if is_input {
            let mut bytes = Vec::new();
            io::stdin()
                .read_to_end(&mut bytes)
                .context("cannot read standard input")?;
            bytes
        } else {
            fs::read(file).map_err(|error| UsageError(format!("cannot read {name}: {error}")))?
        };
        let bytes = unpacked(bytes)
            .map_err(|error| UsageError(format!("cannot unpack {name}: {error}")))?;
        let parsed = parse::document(&bytes, Source::File, clock.now())
            .map_err(|error| UsageError(format!("cannot read ProwJobs from {name}: {error}")))?;
        runs.extend(parsed.observations);
        problems.extend(
            parsed
                .problems
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    Ok((runs, problems))
}

fn from_deck(url: &str, config: &Config, clock: &Clock) -> Result<Read> {
    let deck = url
        .parse::<DeckUrl>()
        .map_err(|error| UsageError(format!("--deck: {error}")))?;
    let timeout = config
        .settings
        .deck
        .as_ref()
        .map_or(Duration::from_secs(60), |deck| deck.timeout);
    let http = Http::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut runs = Vec::new();
    let stats = runtime.block_on(deck::list(
        http.open(),
        &deck,
        timeout,
        clock.now(),
        |run| runs.push(run),
    ))?;
    Ok((runs, stats.bad_items))
}

fn filter(runs: Vec<Observation>, args: &Args, clock: &Clock) -> Vec<Observation> {
    let from = args
        .since
        .and_then(|since| clock.now().checked_sub(since).ok());
    let wanted = |run: &Observation| {
        args.job.as_ref().is_none_or(|job| *job == run.job)
            && from.is_none_or(|from| seen_at(run) >= from)
    };
    runs.into_iter().filter(wanted).collect()
}

/// Why no run is left of those that were read.
fn why_none(read: usize, args: &Args) -> String {
    if read == 0 {
        return "no run was read".to_owned();
    }
    let read = out::count(read as u64, "run");
    let (job, since) = (args.job.is_some(), args.since.is_some());
    let left_out = match (job, since) {
        (true, true) => "none is of that job and ended since then (--job, --since)",
        (true, false) => "none is of that job (--job)",
        (false, _) => "none ended since then (--since)",
    };
    format!("{read} read, {left_out}")
}

/// One run for machines; its fields are the keys, in this order.
#[derive(Debug, Serialize)]
struct Line<'a> {
    run: &'a str,
    job: &'a str,
    org: Option<&'a str>,
    repo: Option<&'a str>,
    #[serde(rename = "ref")]
    base_ref: Option<&'a str>,
    state: &'a str,
    verdict: Verdict,
    rule: Option<&'a str>,
    service: Option<&'a str>,
    controller: Option<&'a str>,
    component: &'a str,
    stage: Option<&'a str>,
    severity: Severity,
    decision: Decision,
    reason: String,
    receivers: Vec<&'a str>,
    /// What is posted because of it, to the first of several receivers.
    message: Option<Value>,
}

/// What each run would lead to, in order of input, and what would be said later.
struct Preview<'a> {
    config: &'a Config,
    runs: Vec<(&'a Observation, Seen)>,
    later: Vec<Told>,
}

impl<'a> Preview<'a> {
    fn new(
        config: &'a Config,
        policy: &Policy,
        runs: &'a [Observation],
        findings: &Findings,
    ) -> Self {
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by_key(|index| {
            runs.get(*index)
                .map(|run| (seen_at(run), run.run.clone(), *index))
        });
        let mut replay = Replay::default();
        let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
        for index in order {
            if let Some(run) = runs.get(index) {
                let finding = findings.get(&run.run);
                seen.insert(
                    index,
                    replay.see_at(policy, run, seen_at(run), None, finding),
                );
            }
        }
        let later = replay.finish(policy);
        Self {
            config,
            runs: runs.iter().zip(seen.into_values()).collect(),
            later,
        }
    }

    fn print_json(&self) -> Result<()> {
        for (run, seen) in &self.runs {
            out::line(&serde_json::to_string(&self.object(run, seen))?);
        }
        Ok(())
    }

    fn object<'b>(&self, run: &'b Observation, seen: &'b Seen) -> Line<'b> {
        let class = &seen.outcome.class;
        let receivers = seen.outcome.receivers.iter().map(String::as_str);
        Line {
            run: &run.run.0,
            job: &run.job,
            org: some(run.org()),
            repo: some(run.repo()),
            base_ref: some(run.base_ref()),
            state: run.state.as_str(),
            verdict: seen.outcome.verdict,
            rule: class.rule.as_deref(),
            service: class.service.as_deref(),
            controller: class.controller.as_deref(),
            component: &class.component,
            stage: class.stage.as_deref(),
            severity: class.severity,
            decision: seen.outcome.decision,
            reason: reason(seen),
            receivers: receivers.filter(|name| *name != NOBODY).collect(),
            message: seen
                .told
                .first()
                .map(|told| payload(self.config, &told.notification)),
        }
    }

    fn print_slack(&self) {
        let all = self
            .runs
            .iter()
            .flat_map(|(_, seen)| seen.earlier.iter().chain(&seen.told))
            .chain(&self.later);
        for told in all {
            out::line(&payload(self.config, &told.notification).to_string());
        }
    }

    fn print_text(&self) {
        for (run, seen) in &self.runs {
            print_run(run, seen);
            for told in &seen.told {
                self.print_message(&told.notification);
            }
        }
        let due: Vec<&Told> = self
            .runs
            .iter()
            .flat_map(|(_, seen)| &seen.earlier)
            .chain(&self.later)
            .collect();
        if !due.is_empty() {
            out::line(&out::styled(
                out::BOLD,
                "\nWhat falls due between and after these runs",
            ));
        }
        for told in due {
            out::line(&format!(
                "\n{}  {}",
                told.notification.at,
                told.notification.event.as_str()
            ));
            self.print_message(&told.notification);
        }
        self.print_summary();
    }

    fn print_message(&self, notification: &Notification) {
        let payload = payload(self.config, notification);
        out::line(&format!(
            "  {} {}",
            out::styled(out::DIM, "to"),
            out::styled(out::BOLD, &notification.receiver)
        ));
        for line in preview_text(&payload).lines() {
            out::line(&format!("  {}", out::printable(line)));
        }
        let builder = out::link(&builder_url(&payload), "open in Slack's Block Kit Builder");
        out::line(&out::styled(out::DIM, &format!("  {builder}")));
    }

    fn print_summary(&self) {
        let mut counts: BTreeMap<Decision, usize> = BTreeMap::new();
        for (_, seen) in &self.runs {
            *counts.entry(seen.outcome.decision).or_default() += 1;
        }
        let words: Vec<String> = counts
            .iter()
            .map(|(decision, count)| format!("{count} {decision}"))
            .collect();
        out::line(&format!(
            "\n{}: {}",
            out::styled(out::BOLD, &out::count(self.runs.len() as u64, "run")),
            words.join(", ")
        ));
    }
}

/// A message as the configuration's receiver would have it.
pub(super) fn payload(config: &Config, notification: &Notification) -> Value {
    let base = notification.receiver.split('/').next().unwrap_or_default();
    let receiver: Option<&Receiver> = config
        .rules
        .receivers
        .iter()
        .find(|receiver| receiver.name == base);
    let look = Look {
        mention: receiver.and_then(|receiver| receiver.mention_on_critical.clone()),
        external_url: config.settings.external_url.clone(),
    };
    render(notification, &look)
}

/// The configuration's policy, with somebody to tell where nobody is configured.
pub(super) fn policy(config: &Config, whole: bool) -> Policy {
    let mut policy = config.preview_policy();
    // Files hold some runs, deck all of them: only there a stage that is missing has not started.
    policy.keeps_deadlines = whole;
    if policy.routing.default_receiver.is_none() {
        policy
            .routing
            .receivers
            .push((NOBODY.to_owned(), Reach::Single));
        policy.routing.default_receiver = Some(NOBODY.to_owned());
    }
    policy
}

fn reason(seen: &Seen) -> String {
    seen.outcome.reason.replace(
        &format!("{NOBODY} by default receiver"),
        "no receiver is configured",
    )
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn print_run(run: &Observation, seen: &Seen) {
    let class = &seen.outcome.class;
    let style = match seen.outcome.verdict {
        Verdict::Fail | Verdict::Infra | Verdict::SoftFail => out::RED,
        Verdict::Pass => out::GREEN,
        Verdict::Running | Verdict::NoOp | Verdict::AbortedByHuman | Verdict::Superseded => {
            out::YELLOW
        }
    };
    let place = [run.repo(), run.base_ref()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("@");
    let head = format!(
        "\n{}  {} {}",
        seen_at(run),
        out::styled(out::BOLD, &out::printable(&run.job)),
        out::printable(&place)
    );
    out::line(head.trim_end());
    let verdict = out::styled(style, seen.outcome.verdict.as_str());
    let decision = out::styled(out::BOLD, seen.outcome.decision.as_str());
    out::line(&format!(
        "  {} → {verdict} → {decision}: {}",
        run.state,
        out::printable(&reason(seen))
    ));
    let words = [
        ("rule", class.rule.as_deref()),
        ("service", class.service.as_deref()),
        (
            "component",
            class.service.is_none().then_some(class.component.as_str()),
        ),
        ("stage", class.stage.as_deref()),
        ("severity", Some(class.severity.as_str())),
        ("run", Some(run.run.0.as_str())),
    ];
    let words: Vec<String> = words
        .iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name} {}", out::printable(value))))
        .collect();
    out::line(&out::styled(out::DIM, &format!("  {}", words.join(" · "))));
}
