//! Logs whose place only Argo's ConfigMap of the run's namespace tells, which is read from Kubernetes.

use prow_notifier::standin::{
    bucket::{BucketStandin, Object},
    prow::Job,
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::context::{Setup, failed, run, text};

/// The run as Prow keeps it where others than Prow's own sidecar upload logs.
fn undecorated(job: &Job) -> Value {
    let mut run = job.to_json();
    let spec = run["spec"].as_object_mut().unwrap();
    spec.remove("decoration_config");
    spec.remove("pod_spec");
    run["status"]["url"] = json!("https://jobs.example.com/1");
    run
}

#[tokio::test]
async fn the_deciding_line_is_read_from_where_the_namespaces_configmap_says() {
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let settings = format!(
        "artifacts: {{ enabled: true, namespaces: {{ api: true }}, \
         endpoints: [{{ for: s3, endpoint: '{}', anonymous: true }}] }}",
        bucket.url()
    );
    let setup = Setup::with_watch().without_webhooks().with(&settings);
    run(setup, async |ctx| {
        let repository = "s3:\n  bucket: team-logs\n  keyFormat: \"ci/team/{{workflow.name}}/{{pod.name}}\"\n";
        let configmap = json!({ "data": { "default-v1": repository } });
        ctx.kube.set_configmap("test-pods", configmap);
        for (service, name) in [("s3", "newManager"), ("sqs", "newQueue")] {
            let job = failed(service, 0);
            let directory = job.directory();
            let (_, below) = directory.split_once('/').unwrap();
            let log = format!("+ go build ./...\npkg/manager.go:42:7: undefined: {name}\nmake: *** [build] Error 1\n");
            let key = format!("team-logs/ci/team/{below}/build-log.txt");
            bucket.put(&key, Object::Bytes(log.into()));
            ctx.kube.upsert(undecorated(&job));
            for message in ctx.messages(2).await {
                let told = text(&message);
                assert!(told.contains(&format!("undefined: {name}")), "{told}");
            }
        }
        // It is remembered for a while.
        assert_eq!(ctx.kube.requests().configmaps, 1);
    })
    .await;
}
