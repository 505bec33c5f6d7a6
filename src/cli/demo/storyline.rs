//! The fleet release of 19 and 20 May 2026, as far as it was observed: 52 versions, of which ten were not
//! tagged and 32 did not reach the umbrella chart until a day later. Which runs were red follows from
//! that; the seconds between are made up.

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
    let mut story = Story::default();
    story.the_first_five_go_well();
    story.ten_are_not_tagged();
    story.the_chart_stands_still();
    story.previews_need_no_chart();
    story.a_day_later_all_is_mended();
    story.steps.sort_by_key(|step| step.at);
    story.steps
}

#[derive(Debug, Default)]
struct Story {
    steps: Vec<Step>,
}

impl Story {
    fn the_first_five_go_well(&mut self) {
        for (index, service) in FIRST.iter().enumerate() {
            let tagged = after(at("2026-05-19T20:34:57Z"), index, 1);
            self.tag(service, tagged);
            self.run(service, "update-ack-chart", "v1.4.0", tagged, 277, true);
        }
    }

    fn ten_are_not_tagged(&mut self) {
        for (index, service) in UNTAGGED.iter().enumerate() {
            let merged = after(at("2026-05-19T20:35:30Z"), index, 127);
            self.run(
                service,
                &format!("{service}-controller-release-tag"),
                "main",
                merged,
                20,
                false,
            );
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
            self.run(service, "update-ack-chart", "v1.4.0", tagged, 48, false);
        }
    }

    fn previews_need_no_chart(&mut self) {
        for (index, service) in PREVIEWS.iter().enumerate() {
            self.tag(service, after(at("2026-05-19T20:41:00Z"), index, 90));
        }
    }

    fn a_day_later_all_is_mended(&mut self) {
        for (index, service) in UNTAGGED.iter().enumerate() {
            let rerun = after(at("2026-05-20T19:54:10Z"), index, 19);
            self.run(
                service,
                &format!("{service}-controller-release-tag"),
                "main",
                rerun,
                20,
                true,
            );
            self.run(
                service,
                &format!("{service}-post-submit"),
                "v1.4.0",
                after(rerun, 1, 25),
                300,
                true,
            );
        }
        for (index, service) in UNCHARTED.iter().enumerate() {
            self.run(
                service,
                "update-ack-chart",
                "v1.4.0",
                after(at("2026-05-20T22:28:00Z"), index, 4),
                52,
                true,
            );
        }
    }

    /// What a version tag starts besides the umbrella chart, which all went well.
    fn tag(&mut self, service: &str, tagged: Timestamp) {
        let merged = after(tagged, 1, -12);
        self.run(
            service,
            &format!("{service}-controller-release-tag"),
            "main",
            merged,
            11,
            true,
        );
        self.run(
            service,
            &format!("{service}-post-submit"),
            "v1.4.0",
            tagged,
            41,
            true,
        );
    }

    /// One run, pending first and then over.
    fn run(
        &mut self,
        service: &str,
        job: &str,
        base_ref: &str,
        started: Timestamp,
        seconds: i64,
        good: bool,
    ) {
        let ended = after(started, 1, seconds);
        let run = Job::new(&format!("{service}-controller"), job, base_ref, started);
        let pending = run.clone().ended("pending", "Job triggered.", None);
        let (state, description) = if good {
            ("success", "Job succeeded.")
        } else {
            ("failure", "Job failed.")
        };
        let over = run.ended(state, description, Some(ended));
        self.steps.push(Step {
            at: started,
            job: pending.to_json(),
            by_webhook: false,
            is_red: false,
        });
        self.steps.push(Step {
            at: ended,
            job: over.to_json(),
            by_webhook: job.ends_with("release-tag"),
            is_red: !good,
        });
    }
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
            (40, 42)
        );
        assert!(steps.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
