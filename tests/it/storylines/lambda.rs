//! lambda v1.4.4, May 2024: its version never reached the umbrella chart, which somebody found by reading logs nine
//! days later.

use insta::assert_snapshot;

use super::{HOUR, MINUTE, Story, Told, at};
use prow_notifier::domain::decision::Decision;

async fn told() -> Told {
    let mut story = Story::default();
    story.tag("lambda", "1.4.4", at("2024-05-07T15:42:39Z"));
    let missing = Some("lambda");
    story.chart("lambda", "1.4.4", at("2024-05-07T15:42:41Z"), missing);
    story.tag("opensearchservice", "0.0.25", at("2024-05-07T19:02:58Z"));
    let begun = at("2024-05-07T19:03:00Z");
    story.chart("opensearchservice", "0.0.25", begun, missing);
    story.tag("lambda", "1.5.0", at("2024-05-17T17:29:58Z"));
    story.chart("lambda", "1.5.0", at("2024-05-17T17:30:00Z"), missing);
    story.tag("cloudwatchlogs", "0.0.8", at("2024-05-31T02:22:43Z"));
    let mended = at("2024-05-31T02:22:45Z");
    story.chart("cloudwatchlogs", "0.0.8", mended, None);
    Told::by(story, 24 * HOUR).await
}

#[tokio::test]
async fn one_incident_is_told_within_minutes_joined_twice_and_closed_from_a_third_repository() {
    let told = told().await;
    assert_snapshot!(told.headlines("lambda"), @r"
    05-07 15:47 🔴 lambda v1.4.4: umbrella-chart-update failed
    05-17 17:35 🔁 lambda v1.5.0: umbrella-chart-update still failing
    05-31 02:25 ✅ lambda v1.5.0: umbrella-chart-update recovered
    ");
    assert_snapshot!(told.headlines("opensearchservice"), @r"
    05-07 19:08 🔴 opensearchservice v0.0.25: umbrella-chart-update failed
    05-31 02:25 ✅ opensearchservice v0.0.25: umbrella-chart-update recovered
    ");
    assert_eq!(told.headlines("cloudwatchlogs"), "");
    assert_snapshot!(told.headlines("platform"), @r"
    05-07 15:47 🔴 lambda v1.4.4: umbrella-chart-update failed
    05-07 19:08 🔴 opensearchservice v0.0.25: umbrella-chart-update failed
    05-17 17:35 🔁 lambda v1.5.0: umbrella-chart-update still failing
    05-31 02:25 ✅ lambda v1.5.0: umbrella-chart-update recovered
    05-31 02:25 ✅ opensearchservice v0.0.25: umbrella-chart-update recovered
    ");
    let lambda = told.to("lambda");
    assert!(lambda[0].0 <= at("2024-05-07T15:42:41Z") + 6 * MINUTE);
    assert_snapshot!(lambda[0].1, @r"
    ┌ 🔴 lambda v1.4.4: umbrella-chart-update failed
    │ dependency not resolved: Error: could not download oci://public.ecr.aws/aws-controllers-k8s/lambda-chart: not found
    │   1  Waiting for lambda-chart v1.4.4
    │ → 2  Error: could not download oci://public.ecr.aws/aws-controllers-k8s/lambda-chart: not found
    │   3  make: *** [Makefile:12: update] Error 1
    │ Blocks: umbrella-chart-publish
    │ Controller: lambda-controller  Stage: umbrella-chart-update
    │ Version: v1.4.4                Job: update-ack-chart
    │ Severity: critical             Failing since: 2024-05-07 15:47 UTC
    │ How often: 1 failed run        Last good run: none on record
    │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/update-ack-chart/1787870676645230374
    │ Log line 2: https://prow.example.com/view/s3/ack-prow-logs/logs/update-ack-chart/1787870676645230374#1:build-log.txt%3A2
    │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/update-ack-chart
    │ Commit: https://github.com/aws-controllers-k8s/lambda-controller/releases/tag/v1.4.4
    └ aws-controllers-k8s/lambda-controller  ·  2024-05-07 15:47 UTC  ·  id:32efbca3
    ");
    assert_snapshot!(lambda.last().unwrap().1, @r"
    ┌ ✅ lambda v1.5.0: umbrella-chart-update recovered
    │ It passed with cloudwatchlogs v0.0.8 at 2024-05-31 02:25 UTC, 23d 10h and 2 failed runs after it first broke; v1.4.4 itself never did.
    │ dependency not resolved: Error: could not download oci://public.ecr.aws/aws-controllers-k8s/lambda-chart: not found
    │ Controller: lambda-controller  Stage: umbrella-chart-update
    │ Version: v1.5.0                Job: update-ack-chart
    │ Severity: critical             First failure: 2024-05-07 15:47 UTC
    │ How often: 2 failed runs       Last good run: none on record
    │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/update-ack-chart/1791521562424372739
    │ Log line 2: https://prow.example.com/view/s3/ack-prow-logs/logs/update-ack-chart/1791521562424372739#1:build-log.txt%3A2
    │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/update-ack-chart
    │ Commit: https://github.com/aws-controllers-k8s/lambda-controller/releases/tag/v1.5.0
    └ aws-controllers-k8s/lambda-controller  ·  2024-05-31 02:25 UTC  ·  id:34856e3e
    ");
    let counts = told.inside.counts().await;
    assert_eq!(counts.incidents_open, 0);
    assert_eq!(told.decided(Decision::Recovered).await, 1);
}
