//! Every page in every look: whole, within its width, without a complaint, and open to everybody.

use std::path::PathBuf;

use super::{
    HOSTILE,
    chromium::{Chromium, Look},
};
use crate::context::{Context, Setup, failed, passed, run};

/// By how much a page is wider than its window.
pub(super) const TOO_WIDE: &str =
    "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// Words of which a part stands outside the window or outside of what cuts them off, and that no scrolling brings back.
pub(super) const CUT: &str = r"
    const found = [];
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const unseen = 'script, noscript, title, option, .skip';
    for (let node = words.nextNode(); node; node = words.nextNode()) {
        const holder = node.parentElement;
        if (!node.data.trim() || holder.closest(unseen) || !holder.checkVisibility()) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const box = range.getBoundingClientRect();
        let [left, right] = [0, document.documentElement.clientWidth];
        for (let around = holder; around; around = around.parentElement) {
            const style = getComputedStyle(around);
            const scrolls = ['auto', 'scroll'].includes(style.overflowX);
            // What is for readers of the screen alone is cut to nothing on purpose.
            if (scrolls || style.clipPath !== 'none') { [left, right] = [-Infinity, Infinity]; break; }
            if (style.overflowX === 'visible') continue;
            const edge = around.getBoundingClientRect();
            [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
        }
        if (box.left < left - 1 || box.right > right + 1) found.push(node.data.trim());
    }
    return found;
";

/// Widths, colours and scripts.
fn looks() -> Vec<Look> {
    let mut looks = Vec::new();
    for width in [360, 1280] {
        for dark in [false, true] {
            for script in [true, false] {
                looks.push(Look {
                    width,
                    dark,
                    script,
                    ..Look::default()
                });
            }
        }
    }
    looks
}

/// What accessibility rules find; needs axe-core, which `.ci/run` fetches.
async fn accessibility(browser: &Chromium) -> Vec<String> {
    let Some(axe) = std::env::var_os("PROW_NOTIFIER_AXE").map(PathBuf::from) else {
        let required = std::env::var_os("PROW_NOTIFIER_BROWSER").is_some();
        assert!(
            !required,
            "PROW_NOTIFIER_AXE does not say where axe.min.js is"
        );
        return Vec::new();
    };
    let axe = std::fs::read_to_string(axe).unwrap();
    let found = browser.check(&axe).await;
    let found = found.as_array().cloned().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}

async fn look_at(browser: &Chromium, address: &str, look: Look) {
    browser.look(look).await;
    browser.open(address).await;
    let place = format!("{address} at {look:?}");
    let wide = browser.script(TOO_WIDE).await;
    assert_eq!(wide, 0, "wider than its window: {place}");
    let cut = browser.script(CUT).await;
    assert_eq!(cut, serde_json::json!([]), "cut off: {place}");
    assert!(!browser.text("main").await.is_empty(), "empty: {place}");
    assert_eq!(
        browser
            .script("return document.title.includes('owned')")
            .await,
        false,
        "{place}"
    );
    let mut complaints = browser.complaints().await;
    // A page that is not there is meant to say so.
    complaints.retain(|complaint| !complaint.contains("status of 404"));
    assert_eq!(complaints, Vec::<String>::new(), "{place}");
    assert_eq!(
        browser.foreign_requests().await.as_array().map(Vec::len),
        Some(0),
        "{place}"
    );
    if look.script {
        let found = accessibility(browser).await;
        assert_eq!(found, Vec::<String>::new(), "{place}");
    }
}

/// Fills the store, and returns the addresses of pages about it.
async fn some_history(ctx: &Context) -> Vec<String> {
    ctx.webhook(&passed("lambda", 20)).await;
    let broken = failed("s3", 18);
    ctx.webhook(&broken).await;
    for (number, text) in (2..).zip(HOSTILE) {
        let mut job = failed("sqs", number);
        text.clone_into(&mut job.description);
        text.clone_into(&mut job.base_ref);
        job.annotations
            .push(("prow-notifier.io/service".to_owned(), text.to_owned()));
        ctx.webhook(&job).await;
    }
    ctx.settle().await;
    let job = "postsubmit%7Caws-controllers-k8s%7Cs3-controller%7Cs3-post-submit%7Ctag";
    let mut pages = [
        "/",
        "/services",
        "/s/s3",
        "/s/s3/1.2.3",
        "/g/controller-release/7d",
        "/trends",
        "/deliveries",
        "/silences?match=service%3D%22s3%22",
        "/config",
        "/wall",
        "/login",
        "/s/nobody",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.push(format!("/r/{}", broken.name()));
    pages.push(format!("/j/{job}"));
    pages
}

#[tokio::test]
async fn every_page_is_whole_in_every_look() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    run(Setup::default().unpaced(), async |ctx| {
        for page in some_history(ctx).await {
            for look in looks() {
                let address = format!("http://{}{page}", ctx.address());
                look_at(&browser, &address, look).await;
            }
        }
        ctx.messages(ctx.unread()).await;
    })
    .await;
    browser.stop().await;
}
