//! What the alerts, the dashboard and the runbook look at: the daemon must export it, under that name.

use std::{collections::BTreeSet, fs};

use prow_notifier::metrics::{Metrics, ReadLabel, ReasonLabel, ResultLabel};
use regex::Regex;

use crate::{
    context::{Reply, Setup, failed, run},
    program::repository,
};

const LOOKED_AT: [&str; 4] = [
    "deploy/components/monitoring/alerts.yaml",
    "deploy/components/monitoring/alerts.test.yaml",
    "deploy/components/monitoring/dashboard.json",
    "docs/runbook.md",
];

fn names_in(text: &str) -> BTreeSet<String> {
    let name = Regex::new("prow_notifier_[a-z0-9_]+").unwrap();
    name.find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

/// Names of samples, without those in comments.
fn samples_in(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned()))
        .collect()
}

/// What there is nothing of while all goes well and nothing is watched.
fn of_failures() -> BTreeSet<String> {
    let metrics = Metrics::new();
    let reason = ReasonLabel { reason: "busy" };
    metrics.store_failures.get_or_create(&reason).inc();
    metrics.notifications_failed.get_or_create(&reason).inc();
    let found = ReadLabel { result: "found" };
    metrics.artifact_reads.get_or_create(&found).inc();
    let failure = ResultLabel { result: "failure" };
    metrics.watches.get_or_create(&failure).inc();
    samples_in(&metrics.text())
}

#[tokio::test]
async fn every_metric_that_is_looked_at_exists() {
    run(Setup::with_deck(), async |context| {
        context.webhook(&failed("s3", 1)).await;
        context.messages(2).await;
        let unsigned = context.request("POST", "/hooks/prowjob").body("{}");
        assert_eq!(Reply::to(unsigned).await.status, 401);
        let metrics = context.polled().await;
        let refused = "http_requests_total{route=\"/hooks/prowjob\",code=\"401\"}";
        assert_eq!(metrics.get(refused), 1, "an alert asks for these labels");
        let text = Reply::to(context.request("GET", "/metrics")).await.text;
        let mut known = samples_in(&text);
        known.extend(of_failures());
        for file in LOOKED_AT {
            let wanted = names_in(&fs::read_to_string(repository(file)).unwrap());
            let missing: Vec<&String> = wanted.difference(&known).collect();
            assert!(missing.is_empty(), "{file}: {missing:?}");
        }
        let alerts = fs::read_to_string(repository(LOOKED_AT[0])).unwrap();
        assert!(names_in(&alerts).len() > 10, "the search itself is broken");
    })
    .await;
}
