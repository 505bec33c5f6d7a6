//! The fleet release of 19 and 20 May 2026, as far as it was observed: 52 versions, of which ten were not
//! tagged and 32 did not reach the umbrella chart until a day later. Which runs were red follows from
//! that; the seconds between and the logs are made up, and so is the end: a version more whose image is never published,
//! and an image of another one that cannot be pushed, which knocks over everybody's chart.

mod logs;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::standin::prow::Job;

/// The first tags, which all went well.
const FIRST: [&str; 5] = [
    "eks",
    "networkfirewall",
    "route53",
    "opensearchserverless",
    "eventbridge",
];
/// Merged, but their tagging failed.
const UNTAGGED: [&str; 10] = [
    "opensearchservice",
    "pipes",
    "athena",
    "kinesis",
    "elbv2",
    "apigatewayv2",
    "recyclebin",
    "documentdb",
    "efs",
    "ec2",
];
/// Tagged and published, but missing in the umbrella chart.
const UNCHARTED: [&str; 32] = [
    "acm",
    "acmpca",
    "bedrock",
    "cloudfront",
    "cloudtrail",
    "cloudwatch",
    "cloudwatchlogs",
    "codeartifact",
    "cognitoidentityprovider",
    "dynamodb",
    "ecr",
    "ecs",
    "elasticache",
    "emrcontainers",
    "firehose",
    "glue",
    "iam",
    "keyspaces",
    "kms",
    "lambda",
    "memorydb",
    "mq",
    "msk",
    "organizations",
    "ram",
    "rds",
    "redshift",
    "s3",
    "sagemaker",
    "secretsmanager",
    "sfn",
    "sns",
];
/// Released, but not generally available and so not in the chart.
const PREVIEWS: [&str; 5] = ["backup", "batch", "datasync", "xray", "workspaces"];
/// Tagged, and then nothing publishes it.
const UNPUBLISHED: &str = "wafv2";
/// Its image cannot be pushed in the end, and the umbrella chart is not built without it.
pub(super) const ROOT: &str = "s3";
/// Knocked over by that.
pub(super) const KNOCKED_OVER: [&str; 4] = ["lambda", "kms", "iam", "sns"];
/// The version of all, but for the end.
const VERSION: &str = "v1.4.0";
const NEXT_VERSION: &str = "v1.4.1";

/// Something that Prow does.
#[derive(Debug)]
pub(super) struct Step {
    /// When.
    pub at: Timestamp,
    /// The ProwJob as it is from then on.
    pub job: Value,
    /// Whether a job's own script also posts it to us, without waiting for the next poll.
    pub by_webhook: bool,
    /// Whether the run is over and red.
    pub is_red: bool,
    /// What the run left in the bucket, by its path there with the bucket's name.
    pub log: Option<(String, String)>,
}

/// When the story begins, UTC.
pub(super) fn begin() -> Timestamp {
    at("2026-05-19T20:34:00Z")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a constant that the demo's test reads")
}

/// All steps, in order of time.
pub(super) fn steps() -> Vec<Step> {
    let mut story = Story {
        version: VERSION,
        steps: Vec::new(),
    };
    story.the_first_five_go_well();
    story.ten_are_not_tagged();
    story.the_chart_stands_still();
    story.previews_wait_for_the_chart();
    story.a_day_later_all_is_mended();
    story.one_is_never_published();
    story.one_knocks_over_four();
    story.steps.sort_by_key(|step| step.at);
    story.steps
}

#[derive(Debug)]
struct Story {
    version: &'static str,
    steps: Vec<Step>,
}

impl Story {
    fn the_first_five_go_well(&mut self) {
        for (index, service) in FIRST.iter().enumerate() {
            let tagged = after(at("2026-05-19T20:34:57Z"), index, 1);
            self.tag(service, tagged);
            self.chart(service, tagged, 40, true);
        }
    }

    fn ten_are_not_tagged(&mut self) {
        for (index, service) in UNTAGGED.iter().enumerate() {
            let merged = after(at("2026-05-19T20:35:30Z"), index, 127);
            self.release_tag(service, merged, 20, false);
        }
    }

    fn the_chart_stands_still(&mut self) {
        for (index, service) in UNCHARTED.iter().enumerate() {
            let tagged = match index {
                30 => at("2026-05-19T21:38:20Z"),
                31 => at("2026-05-19T22:53:10Z"),
                _ => after(at("2026-05-19T20:35:11Z"), index, 37),
            };
            self.tag(service, tagged);
            self.chart(service, tagged, 48, false);
        }
    }

    /// Their updates of the chart wait in the queue until it can be built again.
    fn previews_wait_for_the_chart(&mut self) {
        for (index, service) in PREVIEWS.iter().enumerate() {
            let tagged = after(at("2026-05-19T20:41:00Z"), index, 90);
            self.tag(service, tagged);
            self.queued_chart(service, tagged, after(at("2026-05-20T22:32:00Z"), index, 7));
        }
    }

    /// Ten tags are pushed after all, and with them the first update of the chart that works brings in everybody.
    fn a_day_later_all_is_mended(&mut self) {
        for (index, service) in UNTAGGED.iter().enumerate() {
            let rerun = after(at("2026-05-20T19:54:10Z"), index, 19);
            self.release_tag(service, rerun, 20, true);
            let tagged = after(rerun, 1, 25);
            self.tagged(service, tagged, 300);
            self.queued_chart(service, tagged, after(at("2026-05-20T22:28:52Z"), index, 9));
        }
    }

    fn one_is_never_published(&mut self) {
        let tagged = at("2026-05-20T22:36:00Z");
        self.release_tag(UNPUBLISHED, after(tagged, 1, -12), 11, true);
        self.olm_bundle(UNPUBLISHED, tagged);
        self.chart(UNPUBLISHED, tagged, 45, true);
    }

    fn one_knocks_over_four(&mut self) {
        self.version = NEXT_VERSION;
        let tagged = at("2026-05-20T23:00:00Z");
        self.release_tag(ROOT, after(tagged, 1, -12), 11, true);
        self.olm_bundle(ROOT, tagged);
        let publish = job_of(ROOT, &format!("{ROOT}-post-submit"), self.version, tagged);
        self.end(
            &publish,
            50,
            false,
            Some(logs::not_published(ROOT, self.version)),
        );
        let missing = self.log_without(ROOT, ROOT);
        self.failing_chart(ROOT, tagged, missing);
        for (index, service) in KNOCKED_OVER.iter().enumerate() {
            let tagged = after(at("2026-05-20T23:01:10Z"), index, 25);
            self.tag(service, tagged);
            let missing = self.log_without(service, ROOT);
            self.failing_chart(service, tagged, missing);
        }
    }

    fn log_without(&self, service: &str, missing: &str) -> String {
        logs::not_charted(service, self.version, missing, self.version)
    }

    /// A merge that makes a version, and what that starts besides the umbrella chart, which all went well.
    fn tag(&mut self, service: &str, tagged: Timestamp) {
        self.release_tag(service, after(tagged, 1, -12), 11, true);
        self.tagged(service, tagged, 41);
    }

    fn tagged(&mut self, service: &str, tagged: Timestamp, seconds: i64) {
        let job = format!("{service}-post-submit");
        self.end(
            &job_of(service, &job, self.version, tagged),
            seconds,
            true,
            None,
        );
        self.olm_bundle(service, tagged);
    }

    fn olm_bundle(&mut self, service: &str, tagged: Timestamp) {
        let job = format!("{service}-controller-olm-bundle-pr");
        self.end(&job_of(service, &job, self.version, tagged), 95, true, None);
    }

    fn release_tag(&mut self, service: &str, merged: Timestamp, seconds: i64, good: bool) {
        let job = format!("{service}-controller-release-tag");
        let job = job_of(service, &job, "main", merged);
        let log = if good {
            logs::tagged(service, self.version)
        } else {
            logs::not_tagged(service, self.version)
        };
        self.end(&job, seconds, good, Some(log));
    }

    fn chart(&mut self, service: &str, tagged: Timestamp, seconds: i64, good: bool) {
        let job = job_of(service, "update-ack-chart", self.version, tagged);
        let log = (!good).then(|| self.log_without(service, "athena"));
        self.end(&job, seconds, good, log);
    }

    fn failing_chart(&mut self, service: &str, tagged: Timestamp, log: String) {
        let job = job_of(service, "update-ack-chart", self.version, tagged);
        self.end(&job, 75, false, Some(log));
    }

    /// An update of the chart that waits in Prow's queue from the tag on.
    fn queued_chart(&mut self, service: &str, tagged: Timestamp, ended: Timestamp) {
        let job = job_of(service, "update-ack-chart", self.version, tagged);
        let waiting = job.clone().ended("triggered", "", None);
        self.sight(tagged, &waiting, None);
        let over = job.ended("success", "Job succeeded.", Some(ended));
        self.sight(ended, &over, None);
    }

    /// One run, pending first and then over.
    fn end(&mut self, job: &Job, seconds: i64, good: bool, log: Option<String>) {
        let ended = after(job.started, 1, seconds);
        let pending = job.clone().ended("pending", "Job triggered.", None);
        self.sight(job.started, &pending, None);
        let (state, description) = if good {
            ("success", "Job succeeded.")
        } else {
            ("failure", "Job failed.")
        };
        let over = job.clone().ended(state, description, Some(ended));
        self.sight(ended, &over, log);
    }

    fn sight(&mut self, at: Timestamp, job: &Job, log: Option<String>) {
        self.steps.push(Step {
            at,
            job: in_gcs(job),
            by_webhook: job.completed.is_some() && job.job.ends_with("release-tag"),
            is_red: job.state == "failure",
            log: log.map(|log| (format!("{}/build-log.txt", job.directory()), log)),
        });
    }
}

fn job_of(service: &str, job: &str, base_ref: &str, started: Timestamp) -> Job {
    Job::new(&format!("{service}-controller"), job, base_ref, started)
}

/// The bucket stand-in speaks GCS, so the runs' logs are said to be there.
fn in_gcs(job: &Job) -> Value {
    let mut json = job.to_json();
    for place in [
        "/spec/decoration_config/gcs_configuration/bucket",
        "/status/url",
    ] {
        if let Some(Value::String(text)) = json.pointer_mut(place) {
            *text = text
                .replace("s3://", "gs://")
                .replace("/view/s3/", "/view/gs/");
        }
    }
    json
}

fn after(moment: Timestamp, times: usize, seconds: i64) -> Timestamp {
    let times = i64::try_from(times).unwrap_or_default();
    moment
        .checked_add(SignedDuration::from_secs(times * seconds))
        .unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_story_has_52_versions_and_some_40_red_runs_in_20_minutes() {
        let services: BTreeSet<&str> = FIRST
            .iter()
            .chain(&UNTAGGED)
            .chain(&UNCHARTED)
            .chain(&PREVIEWS)
            .copied()
            .collect();
        assert_eq!(services.len(), 52);
        let steps = steps();
        let early = steps
            .iter()
            .filter(|step| step.is_red && step.at < at("2026-05-19T20:55:30Z"))
            .count();
        assert_eq!(
            (early, steps.iter().filter(|step| step.is_red).count()),
            (40, 42 + 2 + KNOCKED_OVER.len())
        );
        assert!(steps.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
