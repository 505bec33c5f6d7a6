//! The pages in a real browser: with script and without, light and dark, narrow and wide. Needs Debian's `chromium`
//! and `chromium-driver`; without them these tests say so and pass, unless `PROW_NOTIFIER_BROWSER` is set.

mod chromium;
mod demo;
mod hostile;
mod looks;
mod pictures;
mod zoom;

use crate::context::{Setup, failed, passed, run};
use chromium::Chromium;

/// Text as an attacker would have it in a name.
const HOSTILE: [&str; 4] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}${7*7}<!--",
];

#[tokio::test]
async fn a_page_is_live_and_the_keyboard_walks_it() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    run(Setup::default(), async |ctx| {
        let home = format!("http://{}/", ctx.address());
        browser.open(&home).await;
        assert!(browser.text("#open").await.contains("this may be old news"));
        ctx.webhook(&failed("s3", 5)).await;
        browser.wait_for("#open .incident").await;
        assert!(browser.text("#open").await.contains("s3"));
        browser.press("j").await;
        let focused = browser
            .script("return document.activeElement.closest('[data-row]') !== null")
            .await;
        assert_eq!(focused, true);
        // What holds the focus is not torn away: the page says that there is something new.
        ctx.webhook(&passed("s3", 1)).await;
        browser.wait_for("#fresh").await;
        assert_eq!(browser.complaints().await, Vec::<String>::new());
        ctx.messages(4).await;
    })
    .await;
    browser.stop().await;
}
