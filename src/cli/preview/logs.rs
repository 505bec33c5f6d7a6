//! Why the runs of a preview broke, read as the daemon reads it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Args, UsageError};
use crate::{
    artifacts::Reader,
    clock::Clock,
    config::{Config, settings::DeckSettings},
    domain::{
        evidence::Finding,
        observation::{Observation, RunName},
        observe::Reading,
        policy::Policy,
        verdict::Verdict,
    },
    http::Http,
    pipeline::reading::Reason,
};

/// What was found of each run that was read.
pub(super) type Findings = BTreeMap<RunName, Finding>;

/// Runs asked for at once; the reader has a limit of its own on top.
const AT_ONCE: usize = 16;

/// Where logs are read: from the folder that is named; else, for a deck, as `artifacts` says. `None` when nothing
/// is to be read.
pub(super) fn reader(
    args: &Args,
    config: &Config,
    environment: &BTreeMap<String, String>,
    clock: &Clock,
) -> Result<Option<Reader>> {
    let http = Http::new()?;
    if let Some(folder) = &args.artifacts {
        let reader = Reader::of_copy(folder, config, http, clock.clone());
        let reader = reader.map_err(|why| UsageError(format!("--artifacts: {why}")))?;
        return Ok(Some(reader));
    }
    let Some(url) = &args.deck else {
        return Ok(None);
    };
    if args.no_logs || !config.settings.artifacts.enabled {
        return Ok(None);
    }
    let mut config = config.clone();
    let timeout = config.settings.artifacts.timeout;
    let deck = config.settings.deck.get_or_insert_with(|| DeckSettings {
        url: String::new(),
        interval: timeout,
        timeout,
    });
    deck.url.clone_from(url);
    Ok(Some(Reader::new(&config, environment, http, clock.clone())))
}

/// Reads the logs of runs that broke, and of green ones whose stage shows in its log whether it did its work.
pub(super) fn read(
    reader: &Reader,
    runs: &[Observation],
    config: &Config,
    policy: &Policy,
) -> Result<Findings> {
    let redactor = config.redactor();
    let reason = Reason {
        policy,
        rules: &config.log_rules,
        redactor: &redactor,
    };
    let mut known = BTreeSet::new();
    let wanted: Vec<&Observation> = runs
        .iter()
        .filter(|run| tells(policy, run) && known.insert(&run.run))
        .collect();
    let bar = progress(wanted.len());
    let reads = stream::iter(wanted).map(|run| {
        let reason = &reason;
        async move {
            let gathered = reader.gather(run).await;
            (run.run.clone(), reason.finding(run, &gathered))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(async {
        let mut reads = std::pin::pin!(reads.buffer_unordered(AT_ONCE));
        let mut findings = Findings::new();
        while let Some((run, finding)) = reads.next().await {
            findings.insert(run, finding);
            bar.inc(1);
        }
        findings
    });
    bar.finish_and_clear();
    Ok(findings)
}

/// Whether a run's log has a say.
fn tells(policy: &Policy, run: &Observation) -> bool {
    let reading = Reading::of(policy, run, None);
    match reading.judged.verdict {
        Verdict::Fail | Verdict::Infra | Verdict::SoftFail => policy.types.contains(&run.job_type),
        Verdict::Running
        | Verdict::Pass
        | Verdict::NoOp
        | Verdict::AbortedByHuman
        | Verdict::Superseded => reading.asks_for_log(policy),
    }
}

/// Shown on a terminal only.
fn progress(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(runs).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("reading logs [{bar:40}] {pos} of {len}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
