//! `init`: a first configuration from what a deck lists. It guesses, says where it does, and never overwrites.

mod guess;
mod write;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use self::guess::{Guess, Job};
use super::{Outcome, UsageError, out};
use crate::{
    clock::Clock,
    config::Config,
    domain::{classify::classify, observation::Observation, verdict::Verdict},
    http::Http,
    prow::{deck, deck::DeckUrl},
};

/// What to start from.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The deck to look at
    #[arg(long, value_name = "URL")]
    deck: String,
    /// File to write; must not exist yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How long deck may take to list everything.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the command. The answer is "no" when deck lists nothing to start from.
pub fn run(args: &Args) -> Result<Outcome> {
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(exists(path).into());
    }
    let deck: DeckUrl = args
        .deck
        .parse()
        .map_err(|error: deck::AddressError| UsageError(format!("--deck: {error}")))?;
    let jobs = jobs_of(&deck)?;
    let guess = Guess::new(jobs.values().map(|seen| &seen.job));
    if guess.rules.is_empty() {
        out::say("deck lists neither postsubmits nor periodics, so there is nothing to start from");
        return Ok(Outcome::No);
    }
    let text = write::config(&deck.to_string(), &guess);
    let unmatched = unmatched(&text, &jobs)?;
    match &args.output {
        Some(path) => store(path, &text)?,
        None => out::line(text.trim_end()),
    }
    tell(args, &guess, &jobs, &unmatched);
    Ok(Outcome::Done)
}

/// A job and one of its runs.
struct Listed {
    job: Job,
    run: Observation,
}

/// All jobs that deck lists, each once.
fn jobs_of(deck: &DeckUrl) -> Result<BTreeMap<Job, Listed>> {
    let http = Http::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut jobs = BTreeMap::new();
    runtime.block_on(deck::list(
        http.open(),
        deck,
        TIMEOUT,
        Clock::System.now(),
        |run| {
            let job = Job::of(&run);
            jobs.entry(job.clone()).or_insert(Listed { job, run });
        },
    ))?;
    Ok(jobs)
}

/// Loads what was written as any command would, and says which watched jobs it does not know.
fn unmatched(text: &str, jobs: &BTreeMap<Job, Listed>) -> Result<Vec<String>> {
    let mut file = tempfile::Builder::new()
        .suffix(".yaml")
        .tempfile()
        .context("cannot make a file to check the configuration with")?;
    file.write_all(text.as_bytes())?;
    let config = Config::load(&[file.path().to_owned()], &BTreeMap::new())?;
    let watched = jobs
        .values()
        .filter(|seen| config.settings.types.contains(&seen.run.job_type));
    let unknown = watched.filter(|seen| {
        classify(&config.rules.classify, &seen.run, Verdict::Pass)
            .rule
            .is_none()
    });
    Ok(unknown.map(|seen| seen.job.name.clone()).collect())
}

fn exists(path: &Path) -> UsageError {
    UsageError(format!(
        "{} exists already and is not overwritten; name another file with --output",
        path.display()
    ))
}

fn store(path: &Path, text: &str) -> Result<()> {
    let name = path.display();
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = created.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => UsageError(format!("cannot write {name}: {error}")),
    })?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {name}"))
}

fn tell(args: &Args, guess: &Guess, jobs: &BTreeMap<Job, Listed>, unmatched: &[String]) {
    let services = guess.services();
    out::say(&format!(
        "{} jobs, {} rules, {services} services; lines that end in `# ?` are guesses to look at",
        jobs.len(),
        guess.rules.len(),
    ));
    if !unmatched.is_empty() {
        out::say(&format!(
            "{} no rule for {}",
            out::styled(out::YELLOW, "warning:"),
            out::printable(&unmatched.join(", "))
        ));
    }
    if let Some(path) = &args.output {
        let path = path.display();
        out::say(&format!(
            "next: prow-notifier --config {path} preview --deck {} --since 24h",
            out::printable(&args.deck)
        ));
    }
}
