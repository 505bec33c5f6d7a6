//! Chromium, driven by its own driver.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use fantoccini::{Client, ClientBuilder, Locator, wd::WebDriverCompatibleCommand};
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use url::{ParseError, Url};

/// Nothing that is waited for takes this long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A running browser; gone with this, however a test ends.
pub(crate) struct Chromium {
    client: Client,
    driver: Child,
    profile: TempDir,
}

impl Drop for Chromium {
    /// The driver is killed as our child; the browser is the driver's and would outlive it. It is told from others by its
    /// profile.
    fn drop(&mut self) {
        let mark = profile_flag(&self.profile);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let browsers = processes.filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0)
                .any(|word| word == mark.as_bytes())
        });
        let ids = browsers.filter_map(|process| process.file_name().to_str()?.parse().ok());
        for id in ids.filter_map(Pid::from_raw) {
            kill_process(id, Signal::KILL).ok();
        }
    }
}

fn profile_flag(profile: &TempDir) -> String {
    format!("--user-data-dir={}", profile.path().display())
}

/// A command that the driver has beyond the standard.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// CSS pixels.
    pub(crate) width: u32,
    /// What a person has set, in percent; at 200 a page has half the width that the window has.
    pub(crate) zoom: u32,
    /// Dark colours.
    pub(crate) dark: bool,
    /// Whether scripts run.
    pub(crate) script: bool,
}

impl Default for Look {
    /// A wide window in light colours, with scripts.
    fn default() -> Self {
        Self {
            width: 1280,
            zoom: 100,
            dark: false,
            script: true,
        }
    }
}

impl Chromium {
    /// `None` where there is no browser, unless one is required.
    pub(crate) async fn start() -> Option<Self> {
        let found = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|file| file.is_file())
        };
        let (driver, browser) = (found("chromedriver"), found("chromium"));
        let (Some(driver), Some(browser)) = (driver, browser) else {
            let required = std::env::var_os("PROW_NOTIFIER_BROWSER").is_some();
            assert!(
                !required,
                "chromium and chromedriver are missing: install chromium and chromium-driver"
            );
            return None;
        };
        Some(Self::with(driver, browser).await)
    }

    async fn with(driver: PathBuf, browser: PathBuf) -> Self {
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the driver says its port");
            if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
                break port.trim_end_matches('.').parse::<u16>().unwrap();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(profile_flag(&profile));
        let options = json!({ "args": arguments, "binary": browser });
        let mut wanted = serde_json::Map::new();
        wanted.insert("goog:chromeOptions".to_owned(), options);
        wanted.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self {
            client,
            driver,
            profile,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.client.clone().close().await.unwrap();
        self.driver.kill().await.unwrap();
    }

    pub(crate) async fn open(&self, address: &str) {
        self.client.goto(address).await.unwrap();
    }

    /// Sets how the next page is looked at.
    pub(crate) async fn look(&self, look: Look) {
        let scheme = if look.dark { "dark" } else { "light" };
        // This is what a browser does when a person zooms: fewer CSS pixels, each of them larger.
        let part = |size: u32| size * 100 / look.zoom;
        let metrics = json!({
            "width": part(look.width), "height": part(900), "mobile": false,
            "deviceScaleFactor": f64::from(look.zoom) / 100.0,
        });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.devtools("Emulation.setEmulatedMedia", media).await;
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": !look.script }),
        )
        .await;
    }

    async fn devtools(&self, command: &str, params: Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        let path = "goog/cdp/execute";
        self.client.issue_cmd(Extra { path, body }).await.unwrap()
    }

    /// Runs a script of the test's own, outside the page's policy.
    pub(crate) async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Rules of WCAG AA that the page breaks, by axe-core's source.
    pub(crate) async fn check(&self, axe: &str) -> Value {
        self.client.execute(axe, Vec::new()).await.unwrap();
        let run = "const done = arguments[0]; \
            axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }) \
            .then(r => done(r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))))";
        self.client.execute_async(run, Vec::new()).await.unwrap()
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        let element = self.client.find(Locator::Css(selector)).await.unwrap();
        element.text().await.unwrap()
    }

    pub(crate) async fn wait_for(&self, selector: &str) {
        let wait = self.client.wait().at_most(DEADLINE);
        wait.for_element(Locator::Css(selector)).await.unwrap();
    }

    pub(crate) async fn press(&self, key: &str) {
        let body = self.client.find(Locator::Css("body")).await.unwrap();
        body.send_keys(key).await.unwrap();
    }

    /// Writes into a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Clicks what may lead elsewhere.
    pub(crate) async fn click(&self, selector: &str) {
        let button = self.client.find(Locator::Css(selector)).await.unwrap();
        button.click().await.unwrap();
    }

    /// Forgets who is logged in.
    pub(crate) async fn forget(&self) {
        self.client.delete_all_cookies().await.unwrap();
    }

    /// A picture of the window, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// What the browser complained of since it was last asked: violated policies, failed requests, script errors.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let entries = self
            .client
            .issue_cmd(Extra {
                path: "se/log",
                body,
            })
            .await
            .unwrap();
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Addresses of other hosts that the page asked for.
    pub(crate) async fn foreign_requests(&self) -> Value {
        self.script(
            "return performance.getEntriesByType('resource').map(e => e.name).filter(u => !u.startsWith(location.origin))",
        )
        .await
    }
}
