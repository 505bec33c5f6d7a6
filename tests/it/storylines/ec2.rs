//! ec2 v1.3.0, October 2024: the tag job was green and pushed no tag, and for 25 days nobody else's version reached
//! the umbrella chart.

use insta::assert_snapshot;
use jiff::SignedDuration;

use super::{HOUR, MINUTE, Story, Told, at};

/// Released in these weeks for the first time, each as 1.0.0.
const FIRST: [&str; 13] = [
    "acmpca",
    "cloudfront",
    "cloudtrail",
    "cloudwatch",
    "cloudwatchlogs",
    "ecs",
    "efs",
    "elasticache",
    "eventbridge",
    "iam",
    "kafka",
    "kinesis",
    "pipes",
];

fn refused() -> String {
    "[ERROR] Helm image tag v1.3.0 is neither the next patch nor the minor release for current v1.2.28 release\n[INFO] Not tagging the GitHub repository with v1.3.0 tag\n".to_owned()
}

async fn told() -> Told {
    let mut story = Story::default();
    let merged = at("2024-10-24T16:06:14Z");
    story.tagging("ec2", merged, "success", refused());
    let missing = Some("ec2");
    for (service, version, tagged) in [
        ("sqs", "1.1.1", "2024-10-24T16:07:00Z"),
        ("sns", "1.1.0", "2024-10-24T17:30:00Z"),
        ("sqs", "1.1.2", "2024-10-25T16:40:00Z"),
        ("sns", "1.1.1", "2024-10-25T17:04:00Z"),
    ] {
        story.tag(service, version, at(tagged));
        story.chart(service, version, at(tagged), missing);
    }
    let mut tagged = at("2024-10-31T16:15:00Z");
    for service in FIRST {
        story.tag(service, "1.0.0", tagged);
        story.chart(service, "1.0.0", tagged, missing);
        tagged += SignedDuration::from_mins(36 * 60 + 15);
    }
    // Somebody pushes the tag by hand.
    let pushed = at("2024-11-18T19:46:07Z");
    story.tag_jobs("ec2", "1.3.0", pushed);
    story.chart("ec2", "1.3.0", pushed, None);
    Told::by(story, 24 * HOUR).await
}

#[tokio::test]
async fn a_tag_that_a_green_run_did_not_push_is_told_and_is_the_one_cause_of_what_fails_elsewhere()
{
    let told = told().await;
    assert_snapshot!(told.headlines("ec2"), @r"
    10-24 16:06 🔴 ec2 (main): release-tag was green without doing its work
    11-18 19:46 ✅ ec2 v1.3.0: release-tag recovered
    ");
    let ec2 = told.to("ec2");
    assert!(ec2[0].0 <= at("2024-10-24T16:06:14Z") + MINUTE);
    assert_snapshot!(ec2[0].1, @r"
    ┌ 🔴 ec2 (main): release-tag was green without doing its work
    │ What broke, though the run is green: green, but it did not do its work: [ERROR] Helm image tag v1.3.0 is neither the next patch nor the minor release for current v1.2.28 release
    │ Blocks: publish, umbrella-chart-update, umbrella-chart-publish, olm-bundle
    │ Controller: ec2-controller  Stage: release-tag
    │ Branch: main                Job: ec2-controller-release-tag
    │ Severity: critical          Failing since: 2024-10-24 16:06 UTC
    │ How often: 1 failed run     Last good run: none on record
    │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/ec2-controller-release-tag/1849482490017545579
    │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/ec2-controller-release-tag
    │ Commit: https://github.com/aws-controllers-k8s/ec2-controller/commit/73374464da500d0efe101b410b342a5c16227049
    └ aws-controllers-k8s/ec2-controller  ·  2024-10-24 16:06 UTC  ·  id:ad9aa7e8
    ");
    for service in FIRST.iter().chain(&["sqs", "sns"]) {
        let own = told.to(service);
        let first = &own[0].1;
        assert!(first.contains("umbrella-chart-update"), "{first}");
        assert!(
            first.contains("Knocked over by: release-tag of ec2"),
            "{first}"
        );
        assert!(own.last().unwrap().1.contains("recovered"), "{own:#?}");
    }
    assert_snapshot!(told.headlines("sqs"), @r"
    10-24 16:12 🔴 sqs v1.1.1: umbrella-chart-update failed
    10-25 16:45 🔁 sqs v1.1.2: umbrella-chart-update still failing
    11-18 19:49 ✅ sqs v1.1.2: umbrella-chart-update recovered
    ");
    assert_snapshot!(told.headlines("platform"), @r"
    10-24 16:06 🔴 ec2 (main): release-tag was green without doing its work
    10-24 22:12 🔴 sqs v1.1.1: umbrella-chart-update failed
    10-24 23:35 🔴 sns v1.1.0: umbrella-chart-update failed
    10-25 16:45 🔁 sqs v1.1.2: umbrella-chart-update still failing
    10-25 17:09 🔁 sns v1.1.1: umbrella-chart-update still failing
    10-31 22:20 🔴 acmpca v1.0.0: umbrella-chart-update failed
    11-02 10:35 🔴 cloudfront v1.0.0: umbrella-chart-update failed
    11-03 22:50 🔴 cloudtrail v1.0.0: umbrella-chart-update failed
    11-05 11:05 🔴 cloudwatch v1.0.0: umbrella-chart-update failed
    11-06 23:20 🔴 cloudwatchlogs v1.0.0: umbrella-chart-update failed
    11-08 11:35 🔴 ecs v1.0.0: umbrella-chart-update failed
    11-09 23:50 🔴 efs v1.0.0: umbrella-chart-update failed
    11-11 12:05 🔴 elasticache v1.0.0: umbrella-chart-update failed
    11-13 00:20 🔴 eventbridge v1.0.0: umbrella-chart-update failed
    11-14 12:35 🔴 iam v1.0.0: umbrella-chart-update failed
    11-16 00:50 🔴 kafka v1.0.0: umbrella-chart-update failed
    11-17 13:05 🔴 kinesis v1.0.0: umbrella-chart-update failed
    11-18 19:46 ✅ ec2 v1.3.0: release-tag recovered
    11-18 19:49 ✅ umbrella-chart-update recovered in 14 services
    ");
    assert_eq!(told.inside.counts().await.incidents_open, 0);
}
