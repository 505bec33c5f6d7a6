//! Pictures for the README, of the board that the demo leaves. Written to `docs` where `PROW_NOTIFIER_PICTURES` is set.

use std::{path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use super::chromium::{Chromium, Look};
use crate::program::repository;

/// Name of the file, and the page.
const PICTURES: [(&str, &str); 3] = [
    ("now", "/"),
    ("release", "/s/s3/1.4.1"),
    ("trends", "/trends"),
];

#[tokio::test]
async fn the_demo_opens_on_a_board_that_tells_its_story() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let mut demo = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
        .arg("demo")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let home = loop {
        let line = lines.next_line().await.unwrap().expect("the demo goes on");
        if line.contains("The daemon is still running") {
            let (_, address) = line.split_once("http://").unwrap();
            let (address, _) = address.split_once('/').unwrap();
            break format!("http://{address}");
        }
    };
    let folder = std::env::var_os("PROW_NOTIFIER_PICTURES").map(|_| repository("docs"));
    for (name, page) in PICTURES {
        browser
            .look(Look {
                width: 1280,
                dark: false,
                script: true,
            })
            .await;
        browser.open(&format!("{home}{page}")).await;
        let picture = browser.picture().await;
        assert!(picture.len() > 20_000, "nothing to be seen on {page}");
        if let Some(folder) = &folder {
            std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
        }
    }
    browser.open(&home).await;
    let now = browser.text("#open").await;
    assert!(now.contains("wafv2") && now.contains("publish"), "{now}");
    assert!(now.contains("stalled"), "{now}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    demo.kill().await.unwrap();
    browser.stop().await;
}
