//! Pictures for the README, of the board that the demo leaves. Written to `docs` where `PROW_NOTIFIER_PICTURES` is set.

use std::path::PathBuf;

use serde_json::json;

use super::{
    chromium::{Chromium, Look},
    demo::Demo,
};
use crate::program::repository;

/// Name of the file, and the page.
const PICTURES: [(&str, &str); 3] = [
    ("now", "/"),
    ("release", "/s/s3/1.4.1"),
    ("trends", "/trends"),
];

/// Incidents that do not say in the first 600 pixels: state, service, version, stage, age, what broke, and the way from
/// the last good run to the first bad one.
const UNNAMED: &str = r"
    const words = ['.state', '.service', '.version', '.stage', '.for time', '.what', '.more span'];
    const told = (line, word) => {
        const found = line.querySelector(word);
        return found && found.textContent.trim() && found.getBoundingClientRect().bottom <= 600;
    };
    const compared = (line) => line.querySelector('a[href*=\'/compare/\']') || /no good run/.test(line.textContent);
    const lines = [...document.querySelectorAll('.incident')];
    if (lines.length < 7) return ['only ' + lines.length];
    return lines
        .filter((line) => !compared(line) || words.some((word) => !told(line, word)))
        .map((line) => line.textContent);
";

#[tokio::test]
async fn the_demo_opens_on_a_board_that_tells_its_story() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let demo = Demo::start().await;
    let home = &demo.home;
    let folder = std::env::var_os("PROW_NOTIFIER_PICTURES").map(|_| repository("docs"));
    for (name, page) in PICTURES {
        browser.look(Look::default()).await;
        browser.open(&format!("{home}{page}")).await;
        let picture = browser.picture().await;
        assert!(picture.len() > 20_000, "nothing to be seen on {page}");
        if let Some(folder) = &folder {
            std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture).unwrap();
        }
    }
    browser.open(home).await;
    let now = browser.text("#open").await;
    assert!(now.contains("wafv2") && now.contains("publish"), "{now}");
    assert!(now.contains("stalled"), "{now}");
    let unnamed = browser.script(UNNAMED).await;
    assert_eq!(unnamed, json!([]), "not told at a glance");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    demo.stop().await;
    browser.stop().await;
}

/// Whose page it is stands in its head.
const LOGGED_IN: &str = "header a[href='/login']";

#[tokio::test]
async fn the_link_of_the_demo_logs_in_with_script_and_its_token_without() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let demo = Demo::start().await;
    let link = format!("{}/login#{}", demo.home, demo.token);
    for script in [true, false] {
        browser.forget().await;
        let look = Look {
            script,
            ..Look::default()
        };
        browser.look(look).await;
        browser.open(&link).await;
        if !script {
            browser.fill("#token", &demo.token).await;
            browser.click("form.login button").await;
        }
        browser.wait_for(LOGGED_IN).await;
        assert_eq!(browser.text(LOGGED_IN).await, "demo");
        let place = browser.script("return location.href").await;
        assert_eq!(place, format!("{}/", demo.home), "no token is left behind");
        browser.open(&format!("{}/silences", demo.home)).await;
        browser.fill("#match", "service=\"wafv2\"").await;
        browser.fill("#reason", "a look around").await;
        browser.fill("#lasts", "1h").await;
        browser.click("form.silence button.act").await;
        let made = if script { "#silence-1" } else { "#silence-2" };
        browser.wait_for(made).await;
        let shown = browser.text(made).await;
        assert!(
            shown.contains("by demo") && shown.contains("a look around"),
            "{shown}"
        );
        browser.click(&format!("{made} button")).await;
        browser.wait_for(&format!("{made}.q-expired")).await;
        assert_eq!(browser.complaints().await, Vec::<String>::new());
    }
    demo.stop().await;
    browser.stop().await;
}
