//! What pages ask for is worked out once for all who ask, and never out of date once something changed.

use std::{fs, time::Duration};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt as _;
use prow_notifier::{pipeline::reload::Reload, web::Web};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::inside::{EACH_JOB_A_STAGE, Inside, failed, passed};

const PIPELINE: &str = "pipelines:\n  - name: release\n    stages: [{ name: publish }]\n";

async fn ask(router: &Router, path: &str) -> Value {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn an_answer_serves_again_for_seconds_unless_something_changed() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    let web = Web::new(inside.shared().clone(), CancellationToken::new());
    let router = web.router();
    inside
        .accept(&[failed("s3", "publish", inside.now())])
        .await;
    inside.step().await;
    for path in ["/api/v1/services", "/api/v1/trends"] {
        let first = ask(&router, path).await;
        inside.clock.advance(Duration::from_secs(4));
        assert_eq!(ask(&router, path).await, first, "{path}");
        inside.clock.advance(Duration::from_secs(1));
        let later = ask(&router, path).await;
        assert_ne!(later["data"]["now"], first["data"]["now"], "{path}");
        // Another question has an answer of its own.
        let other = ask(&router, "/api/v1/trends?days=30").await;
        assert_eq!((&other["days"], other == later), (&30.into(), false));
    }
    let state = async || ask(&router, "/api/v1/services").await["services"][0]["state"].clone();
    assert_eq!(state().await, "blocked");
    inside
        .accept(&[passed("s3", "publish", inside.now())])
        .await;
    inside.step().await;
    assert_ne!(state().await, "blocked");
}

#[tokio::test]
async fn an_answer_does_not_outlive_its_configuration() {
    let mut inside = Inside::new(&format!("{EACH_JOB_A_STAGE}{PIPELINE}")).await;
    let web = Web::new(inside.shared().clone(), CancellationToken::new());
    let router = web.router();
    let stages = async || {
        let fan_out = ask(&router, "/api/v1/pipelines/release/24h").await;
        fan_out["stages"].as_array().unwrap().len()
    };
    assert_eq!(stages().await, 1);
    let two = PIPELINE.replace("}]", "}, { name: chart, needs: [publish] }]");
    let file = inside.home().join("config/20-test.yaml");
    fs::write(file, format!("{EACH_JOB_A_STAGE}{two}")).unwrap();
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(stages().await, 2);
}
