//! Tries each place that the configuration names, once, as the daemon would use it. Posts nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::{super::out, List};
use crate::{
    artifacts::{Outcome, Reader, namespaces::Namespaces},
    clock::Clock,
    domain::observation::Observation,
    http::Http,
    pipeline::live::Live,
    prow::{
        api,
        deck::{self, DeckUrl},
    },
};

/// Clocks that differ by more make signed requests fail and order events wrongly.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Walks the whole list.
pub(super) fn check(
    live: &Live,
    environment: &BTreeMap<String, String>,
    list: &mut List,
) -> Result<()> {
    let http = Http::new()?;
    let clock = Clock::System;
    let config = &live.snapshot.config;
    let reader = Reader::new(config, environment, http.clone(), clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let newest = check_deck(live, &http, &clock, list).await;
        check_cluster(live, list).await;
        check_buckets(live, &reader, newest.as_ref(), list).await;
        check_hosts(live, &http, list).await;
    });
    check_namespaces(live, list);
    Ok(())
}

/// Reads deck's list; returns the run whose log is most worth trying: the newest that ended.
async fn check_deck(
    live: &Live,
    http: &Http,
    clock: &Clock,
    list: &mut List,
) -> Option<Observation> {
    let (Some(deck), Some(settings)) = (&live.deck, &live.snapshot.config.settings.deck) else {
        list.skipped("deck", "sources.deck.url is not set");
        return None;
    };
    let began = Instant::now();
    let (mut newest, mut ended): (Option<Timestamp>, Option<Observation>) = (None, None);
    let read = deck::list(http.open(), deck, settings.timeout, clock.now(), |run| {
        newest = newest.max(run.started_at);
        let is_later = |known: &Observation| known.completed_at < run.completed_at;
        if run.completed_at.is_some() && ended.as_ref().is_none_or(is_later) {
            ended = Some(run);
        }
    });
    match read.await {
        Ok(stats) if stats.items == 0 => list.failed(
            "deck",
            format!("{} lists no run at all", deck.host()),
            "check that sources.deck.url is the Prow you mean, and that it is not asked for hidden jobs",
        ),
        Ok(stats) if stats.bad == stats.items => list.failed(
            "deck",
            format!(
                "none of what {} lists can be read as a ProwJob: {}",
                deck.host(),
                stats.bad_items.first().map_or("", String::as_str)
            ),
            "check that sources.deck.url is the deck of a Prow",
        ),
        Ok(stats) => {
            let newest = newest.map_or_else(|| "unknown".to_owned(), |at| at.to_string());
            list.ok(
                "deck",
                format!(
                    "{} in {:.1} s, the newest of {newest}",
                    out::count(stats.items, "run"),
                    began.elapsed().as_secs_f64()
                ),
            );
        }
        Err(error) => list.failed(
            "deck",
            error.to_string(),
            "open the address from the daemon's network; a login page in front of deck keeps the daemon out",
        ),
    }
    check_clock(deck, http, clock, settings.timeout, list).await;
    ended
}

/// What watching and stopping need of the API server.
async fn check_cluster(live: &Live, list: &mut List) {
    let Some(watch) = &live.snapshot.config.settings.watch else {
        return;
    };
    let (kubeconfig, namespace) = (watch.kubeconfig.as_deref(), watch.namespace.as_str());
    let remedy = "the account needs to get, list and watch prowjobs.prow.k8s.io there";
    match api::probe(kubeconfig, namespace, watch.timeout).await {
        Ok(0) => list.failed(
            "watch",
            format!("no ProwJob in namespace {namespace}"),
            remedy,
        ),
        Ok(_) => list.ok(
            "watch",
            format!("ProwJobs of namespace {namespace} can be read"),
        ),
        Err(error) => list.failed("watch", error.to_string(), remedy),
    }
    if !live.snapshot.policy.orders_stops() {
        return;
    }
    match api::may_stop(kubeconfig, namespace, watch.timeout).await {
        Ok(()) => list.ok(
            "abort",
            format!("ProwJobs of namespace {namespace} may be patched"),
        ),
        Err(error) => list.failed(
            "abort",
            error.to_string(),
            "grant the right, or write `abort_downstream: suggest`",
        ),
    }
}

async fn check_clock(
    deck: &DeckUrl,
    http: &Http,
    clock: &Clock,
    timeout: Duration,
    list: &mut List,
) {
    let asked = http
        .open()
        .get(deck.to_string())
        .timeout(timeout)
        .send()
        .await;
    let date = asked.ok().and_then(|answer| {
        let date = answer.headers().get(reqwest::header::DATE)?;
        date_of(date.to_str().ok()?)
    });
    match date {
        None => list.skipped("clock", "deck does not tell its time"),
        Some(theirs) => match skew(clock.now(), theirs) {
            Ok(words) => list.ok("clock", words),
            Err(words) => list.failed(
                "clock",
                words,
                "set this machine's clock, best by NTP; buckets refuse requests signed at a wrong time",
            ),
        },
    }
}

/// Reads the header `Date`.
fn date_of(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(date.timestamp())
}

/// How far our clock is from deck's; an error when that is too far.
fn skew(ours: Timestamp, theirs: Timestamp) -> Result<String, String> {
    let skew = ours.duration_since(theirs);
    let seconds = skew.as_secs().unsigned_abs();
    let side = if skew.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    let words = format!("{seconds} s {side} deck's");
    if skew.abs() > MAX_SKEW {
        Err(words)
    } else {
        Ok(words)
    }
}

async fn check_buckets(
    live: &Live,
    reader: &Reader,
    newest: Option<&Observation>,
    list: &mut List,
) {
    if !live.snapshot.config.settings.artifacts.enabled {
        list.skipped("logs", "artifacts.enabled is false");
        return;
    }
    let locations: BTreeSet<_> = reader.locations().into_iter().collect();
    if locations.is_empty() {
        list.skipped(
            "bucket",
            "artifacts.defaults names none; runs name their own",
        );
    }
    for location in locations {
        let check = format!("bucket {location}");
        let source = reader.credentials(&location);
        match reader.probe(&location).await {
            Ok(()) => list.ok(&check, format!("can be read; credentials: {source}")),
            Err(why) => list.failed(
                &check,
                format!("{why}; credentials: {source}"),
                "see artifacts.endpoints: endpoint, region, credentials_file, ca_file; the account needs to read and \
                 to list objects",
            ),
        }
    }
    let Some(run) = newest else {
        list.skipped("log of a run", "deck gave no run that ended");
        return;
    };
    let gathered = reader.gather(run).await;
    let place = gathered.location.unwrap_or_else(|| "no place".to_owned());
    match gathered.outcome {
        Outcome::Read => list.ok("log of a run", format!("read in {place}")),
        Outcome::Nothing(why) => list.skipped("log of a run", &format!("{}: {why}", run.job)),
        Outcome::Unreadable { why, .. } => list.failed(
            "log of a run",
            format!("{}: {why}", run.job),
            "the run itself says where its log is; give that bucket an entry in artifacts.endpoints",
        ),
    }
}

/// Each host once, however many webhooks it has.
async fn check_hosts(live: &Live, http: &Http, list: &mut List) {
    let hosts: BTreeMap<&str, _> = live
        .endpoints
        .values()
        .map(|endpoint| (endpoint.webhook.host(), &endpoint.webhook))
        .collect();
    for (host, webhook) in hosts {
        let check = format!("webhooks' host {host}");
        match webhook.reach(http).await {
            Ok(()) => list.ok(&check, "answers; nothing was posted".to_owned()),
            Err(why) => list.failed(
                &check,
                why,
                "allow the daemon to connect to it: DNS, network policy, proxy; `send-test` tries the webhook itself",
            ),
        }
    }
}

fn check_namespaces(live: &Live, list: &mut List) {
    let settings = &live.snapshot.config.settings.artifacts;
    let Some(folder) = &settings.namespaces_folder else {
        return;
    };
    let check = "namespaces";
    let remedy = "mount each namespace's artifact-repositories ConfigMap as a folder of its name";
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let why = format!("cannot list {}: {error}", folder.display());
            return list.failed(check, why, remedy);
        }
    };
    let namespaces = Namespaces::new(folder.clone(), settings.namespaces_key.clone());
    let mut count = 0;
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Mounted volumes keep their versions in such folders.
        if name.starts_with("..") {
            continue;
        }
        match namespaces.repository(&name) {
            Ok(_) => count += 1,
            Err(why) => list.failed(check, why, remedy),
        }
    }
    list.ok(
        check,
        format!("{count} can be used in {}", folder.display()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_off_by_half_a_minute() {
        let theirs = date_of("Thu, 20 Aug 2026 10:00:00 GMT").unwrap();
        for (seconds, fine, words) in [
            (0, true, "0 s ahead of deck's"),
            (30, true, "30 s ahead of deck's"),
            (-30, true, "30 s behind deck's"),
            (31, false, "31 s ahead of deck's"),
            (-3600, false, "3600 s behind deck's"),
        ] {
            let ours = theirs + SignedDuration::from_secs(seconds);
            let told = skew(ours, theirs);
            assert_eq!(told.is_ok(), fine, "{seconds}");
            assert_eq!(told.unwrap_or_else(|bad| bad), words);
        }
    }
}
