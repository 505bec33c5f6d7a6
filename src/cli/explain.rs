//! `explain`: what became of a run, from the store.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;

use super::{Format, Outcome, UsageError, out};
use crate::{
    clock::Clock,
    config::Config,
    domain::observation::RunName,
    store::{DeliveryTrail, Store, Trail},
};

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a ProwJob, its build id, or the id at the end of a message
    #[arg(value_name = "RUN|NOTIFICATION")]
    subject: String,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the command. Exit code 1 when nothing is known of the subject.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let config = Config::load(paths, environment)?;
    let path = &config.settings.store_path;
    if !path.exists() {
        return Err(UsageError(format!(
            "there is no store at {}; is this the daemon's configuration?",
            path.display()
        ))
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let trail = runtime.block_on(async {
        let store = Store::open(path, Clock::System).await?;
        let trail = store.explain(&RunName(args.subject.clone())).await?;
        store.close().await;
        anyhow::Ok(trail)
    })?;
    let Some(trail) = trail else {
        out::say(&format!(
            "nothing is known of {}: never seen, or older than store.retention",
            out::printable(&args.subject)
        ));
        return Ok(Outcome::No);
    };
    match args.format {
        Format::Json => out::line(&serde_json::to_string(&trail)?),
        Format::Text => print(&trail),
    }
    Ok(Outcome::Done)
}

fn print(trail: &Trail) {
    if let Some(run) = &trail.run {
        let ended = run
            .finished_at
            .map_or_else(|| "not finished".to_owned(), |at| format!("finished {at}"));
        out::line(&format!(
            "{} {}",
            out::styled(out::BOLD, "run"),
            out::printable(&run.name.0)
        ));
        out::line(&format!(
            "  {}  {} → {}, {ended}",
            out::printable(&run.job.0),
            run.state,
            run.verdict
        ));
        if let Some(url) = &run.url {
            out::line(&format!("  {}", out::printable(url)));
        }
    }
    section("decisions", trail.decisions.len());
    for decision in &trail.decisions {
        let rule = decision.rule.as_deref().unwrap_or("no rule");
        out::line(&format!(
            "  {}  {} from {}: {}  ({rule}; run {})",
            decision.decided_at,
            out::styled(out::BOLD, decision.decision.as_str()),
            decision.source.as_str(),
            out::printable(&decision.reason),
            out::printable(&decision.run.0),
        ));
    }
    section("incidents", trail.incidents.len());
    for incident in &trail.incidents {
        let end = incident.closed_by.as_ref().map_or_else(
            || "open".to_owned(),
            |good| format!("closed {} by {}", good.at, good.run),
        );
        let line = format!(
            "{} since {}, {} bad runs, {end}: {}",
            incident.id, incident.first.at, incident.failures, incident.latest.what
        );
        out::line(&format!("  {}", out::printable(&line)));
    }
    section("notifications", trail.notifications.len());
    for told in &trail.notifications {
        let notification = &told.notification;
        out::line(&format!(
            "  {}  {} id:{}",
            notification.at,
            out::styled(out::BOLD, notification.event.as_str()),
            notification.id
        ));
        for delivery in &told.deliveries {
            print_delivery(delivery);
        }
    }
}

fn section(title: &str, count: usize) {
    if count > 0 {
        out::line(&out::styled(out::BOLD, title));
    }
}

fn print_delivery(delivery: &DeliveryTrail) {
    let diverted = delivery
        .diverted
        .as_ref()
        .map(|way| format!(", instead of {} ({})", way.from, way.reason))
        .unwrap_or_default();
    let state = if delivery.state == "pending" {
        format!("pending, due {}", delivery.due_at)
    } else {
        delivery.state.clone()
    };
    out::line(&out::printable(&format!(
        "    to {}: {state}{diverted}",
        delivery.receiver
    )));
    for attempt in &delivery.attempts {
        out::line(&out::printable(&format!(
            "      {} {} {}",
            attempt.at, attempt.outcome, attempt.detail
        )));
    }
}
