//! Pages as people with weak eyes have them: at 200 %, where a page is half as wide as its window.

use serde_json::json;

use super::{
    chromium::{Chromium, Look},
    demo::Demo,
    looks::{CUT, TOO_WIDE},
};

/// Where the pages are of which no address is known beforehand: a page, and what its first link is to begin with.
const FOUND: [(&str, &str); 5] = [
    ("/", "/e/"),
    ("/", "/r/stalled"),
    ("/s/s3/1.4.1", "/r/"),
    ("/s/s3", "/j/"),
    ("/s/s3", "/g/"),
];

async fn pages(browser: &Chromium, home: &str) -> Vec<String> {
    let mut pages = [
        "/",
        "/services",
        "/services?state=stalled",
        "/s/s3",
        "/s/s3/1.4.1",
        "/s/wafv2/1.4.0",
        "/trends",
        "/trends?days=30&service=s3",
        "/deliveries",
        "/silences",
        "/silences?match=service%3D%22s3%22",
        "/config",
        "/wall",
        "/login",
        "/s/nobody",
    ]
    .map(str::to_owned)
    .to_vec();
    for (page, begin) in FOUND {
        browser.open(&format!("{home}{page}")).await;
        let first = format!("return document.querySelector('a[href^=\"{begin}\"]').pathname");
        let found = browser.script(&first).await;
        pages.push(found.as_str().unwrap().to_owned());
    }
    pages
}

#[tokio::test]
async fn at_twice_the_size_no_page_scrolls_sideways_or_loses_a_word() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let demo = Demo::start().await;
    for (width, zoom) in [(1280, 100), (1280, 200), (720, 200)] {
        let look = Look {
            width,
            zoom,
            ..Look::default()
        };
        browser.look(look).await;
        for page in pages(&browser, &demo.home).await {
            browser.open(&format!("{}{page}", demo.home)).await;
            let place = format!("{page} at {look:?}");
            let size = browser.script("return innerWidth").await;
            assert_eq!(size, json!(width * 100 / zoom), "{place}");
            assert_eq!(browser.script(TOO_WIDE).await, 0, "too wide: {place}");
            assert_eq!(browser.script(CUT).await, json!([]), "cut off: {place}");
        }
    }
    demo.stop().await;
    browser.stop().await;
}
