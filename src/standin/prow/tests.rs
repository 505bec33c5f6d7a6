//! Proves that the stand-in answers as deck does.

use super::*;

fn job(name: &str) -> Job {
    let started = "2026-08-20T10:00:00Z".parse().unwrap();
    Job::new("s3-controller", name, "v1.2.3", started)
}

async fn standin(names: &[&str]) -> DeckStandin {
    // Fails only when another test has set it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let standin = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    standin.set_jobs(names.iter().map(|name| job(name).to_json()).collect());
    standin
}

async fn text(standin: &DeckStandin, path: &str) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(standin.url() + path).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.text().await.unwrap())
}

async fn states(standin: &DeckStandin) -> Vec<String> {
    let list: Value = serde_json::from_str(&text(standin, "/prowjobs.js").await.1).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|job| job["status"]["state"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_job_keeps_its_name_and_build_id_in_every_state() {
    let done = job("s3-post-submit");
    let failed = done.clone().ended("failure", "Job failed.", None);
    assert_eq!(done.name(), failed.name());
    assert_eq!(done.build_id(), failed.build_id());
    assert_ne!(done.name(), job("update-ack-chart").name());
    assert_eq!(done.name().len(), 36);
    let millis = (done.build_id().parse::<i64>().unwrap() >> 22) + 1_288_834_974_657;
    assert_eq!(millis, done.started.as_millisecond());
}

#[test]
fn jobs_of_one_push_share_commit_and_delivery() {
    let [one, other] = ["a", "b"].map(|name| job(name).to_json());
    for path in ["/metadata/labels/event-GUID", "/spec/refs/base_sha"] {
        assert!(one.pointer(path).is_some());
        assert_eq!(one.pointer(path), other.pointer(path), "{path}");
    }
}

#[tokio::test]
async fn fields_are_omitted_and_the_list_is_wrapped_on_demand() {
    let standin = standin(&["a"]).await;
    let (_, whole) = text(&standin, "/prowjobs.js").await;
    assert!(whole.contains("decoration_config") && whole.contains("release-controller.sh"));
    let omit = "/prowjobs.js?var=x&omit=pod_spec,decoration_config,labels,annotations";
    let (_, script) = text(&standin, omit).await;
    assert!(script.starts_with("var x = {") && script.ends_with("};"));
    for gone in [
        "decoration_config",
        "release-controller.sh",
        "labels",
        "annotations",
    ] {
        assert!(!script.contains(gone), "{gone}");
    }
    assert!(script.contains(r#""pod_spec":{"containers":[{"name":"","resources":{}}]}"#));
}

#[tokio::test]
async fn a_run_is_replaced_by_name_and_found_by_it() {
    let standin = standin(&["a", "b"]).await;
    let failed = job("b").ended("failure", "Job failed.", None);
    standin.upsert(failed.to_json());
    standin.upsert(job("c").ended("pending", "", None).to_json());
    assert_eq!(states(&standin).await, ["pending", "success", "failure"]);
    let (status, yaml) = text(&standin, &format!("/prowjob?prowjob={}", failed.name())).await;
    assert_eq!(status, 200);
    assert!(yaml.contains("state: failure"), "{yaml}");
    assert_eq!(text(&standin, "/prowjob?prowjob=no").await.0, 404);
    assert_eq!(text(&standin, "/prowjob").await.0, 400);
    assert_eq!(text(&standin, "/view/s3/bucket/logs/a/1").await.0, 200);
    let requests = standin.requests();
    assert_eq!((requests.list, requests.prowjob, requests.view), (1, 3, 1));
}

#[tokio::test]
async fn two_replicas_alternate() {
    let standin = standin(&["a"]).await;
    standin.set_two_replicas(true);
    standin.upsert(job("a").ended("failure", "Job failed.", None).to_json());
    for expected in ["success", "failure", "success"] {
        assert_eq!(states(&standin).await, [expected]);
    }
    standin.set_two_replicas(false);
    for _ in 0..2 {
        assert_eq!(states(&standin).await, ["failure"]);
    }
}
