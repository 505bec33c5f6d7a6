//! Configuration and secrets that change while the daemon runs: a good change takes effect, a bad one does not, and
//! nothing is restarted.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    config::Config,
    http::Http,
    pipeline::reload::Reload,
    standin::{
        prow::Job,
        slack::{Options, SlackStandIn},
    },
};
use sha2::Sha256;
use tempfile::TempDir;

use crate::{
    context::{Reply, daemon::Daemon},
    inside::{EACH_JOB_A_STAGE, Inside, failed},
    program::no_environment,
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// Nothing that is waited for takes this long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The last configuration file, which a test may change.
fn rewrite(inside: &Inside, text: &str) {
    let config = format!("{EACH_JOB_A_STAGE}{text}");
    fs::write(inside.home().join("config/20-test.yaml"), config).unwrap();
}

/// Reports a failure of a new job, and says which webhooks it is told to.
async fn told(inside: &mut Inside, job: &str) -> Vec<String> {
    let before = inside.slack.messages().len();
    inside.accept(&[failed("s3", job, inside.now())]).await;
    inside.pass(MINUTE).await;
    let new = inside.slack.messages().split_off(before);
    new.into_iter().map(|message| message.hook).collect()
}

fn metrics(inside: &Inside) -> Vec<String> {
    let all = inside.shared().metrics.text();
    all.lines()
        .filter_map(|line| line.strip_prefix("prow_notifier_config_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn nothing_changed_is_nothing_done() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    assert_eq!(inside.reload(), Reload::Unchanged);
    // As Kubernetes does now and then.
    rewrite(&inside, "");
    assert_eq!(inside.reload(), Reload::Unchanged);
    assert_eq!(metrics(&inside), ["last_reload_successful 1"]);
}

#[tokio::test]
async fn a_new_receiver_gets_the_next_message() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    assert_eq!(told(&mut inside, "one").await, ["platform"]);
    let hook = inside.home().join("new-team");
    fs::write(&hook, inside.slack.url("new-team")).unwrap();
    rewrite(
        &inside,
        &format!(
            "receivers:\n  - name: new-team\n    slack: {{ webhook_url_file: {} }}\nroutes: [ {{ receiver: new-team }} ]\n",
            hook.display()
        ),
    );
    assert_eq!(told(&mut inside, "two").await, ["platform"]);
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "three").await, ["new-team"]);
    assert_eq!(
        metrics(&inside),
        [
            "last_reload_successful 1",
            "reloads_total{result=\"success\"} 1"
        ]
    );
}

#[tokio::test]
async fn a_bad_change_keeps_the_old_configuration_until_it_is_mended() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    for bad in [
        "routes: [ { receiver: nobody } ]\n",
        "routes: [\n",
        "dedup: { window: soon }\n",
    ] {
        rewrite(&inside, bad);
        assert_eq!(inside.reload(), Reload::Refused, "{bad}");
        assert_eq!(
            told(&mut inside, &format!("stage-{}", bad.len())).await,
            ["platform"]
        );
    }
    // Looked at again and again, the same mistake is counted once.
    assert_eq!(inside.reload(), Reload::Refused);
    assert_eq!(
        metrics(&inside),
        [
            "last_reload_successful 0",
            "reloads_total{result=\"failure\"} 3"
        ]
    );
    rewrite(&inside, "");
    assert_eq!(inside.reload(), Reload::Unchanged);
    assert!(metrics(&inside).contains(&"last_reload_successful 1".to_owned()));
    rewrite(&inside, "routes: [ { receiver: team } ]\n");
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "last").await, ["team"]);
}

#[tokio::test]
async fn a_secret_that_goes_missing_is_refused_and_the_known_one_stays_in_use() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    fs::remove_file(inside.home().join("platform")).unwrap();
    assert_eq!(inside.reload(), Reload::Refused);
    assert_eq!(told(&mut inside, "one").await, ["platform"]);
}

#[tokio::test]
async fn a_webhook_that_is_replaced_is_used_for_what_is_still_to_be_sent() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    inside.slack.set_down(true);
    assert!(told(&mut inside, "one").await.is_empty());
    fs::write(inside.home().join("platform"), inside.slack.url("replaced")).unwrap();
    assert_eq!(inside.reload(), Reload::Swapped);
    inside.slack.set_down(false);
    inside.pass(10 * MINUTE).await;
    assert_eq!(inside.messages("replaced").len(), 1);
    inside.counts().await;
}

/// A folder as Kubernetes mounts one: names lead through `..data` to a folder of one moment.
struct Mount<'a>(&'a Path);

impl Mount<'_> {
    /// Puts files in place of all there were, in one step.
    fn swap(&self, moment: &str, files: &[(&str, &str)]) {
        let folder = format!("..{moment}");
        fs::create_dir_all(self.0.join(&folder)).unwrap();
        for (name, text) in files {
            fs::write(self.0.join(&folder).join(name), text).unwrap();
            if !self.0.join(name).is_symlink() {
                symlink(format!("..data/{name}"), self.0.join(name)).unwrap();
            }
        }
        symlink(&folder, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }
}

#[tokio::test]
async fn a_change_while_files_are_being_read_is_noticed_at_the_next_look() {
    let inside = Inside::new(EACH_JOB_A_STAGE).await;
    let load = || Config::load(&[inside.home().join("config")], &no_environment()).unwrap();
    let snapshot = |config: Config| config.snapshot(&no_environment(), None).unwrap();
    let read_before = load();
    rewrite(&inside, "routes: [ { receiver: team } ]\n");
    assert_ne!(snapshot(read_before).hash, snapshot(load()).hash);
    assert_eq!(snapshot(load()).hash, snapshot(load()).hash);
}

#[tokio::test]
async fn a_mounted_configuration_that_is_swapped_is_noticed() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    let folder = inside.home().join("config");
    let mount = Mount(&folder);
    mount.swap(
        "2026_08_20_10_00_00.1",
        &[("30.yaml", "routes: [ { receiver: team } ]\n")],
    );
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "one").await, ["team"]);
    mount.swap(
        "2026_08_20_10_05_00.2",
        &[("30.yaml", "routes: [ { receiver: platform } ]\n")],
    );
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "two").await, ["platform"]);
    assert_eq!(inside.reload(), Reload::Unchanged);
}

#[tokio::test]
async fn a_service_gets_its_channel_by_a_file_in_a_mounted_secret() {
    let home = tempfile::tempdir().unwrap();
    let mount = Mount(home.path());
    let mut inside = Inside::new(&format!(
        "{EACH_JOB_A_STAGE}receivers:\n  - name: by-service\n    slack: {{ webhook_url_dir: {} }}\nroutes: [ {{ receiver: by-service }} ]\n",
        home.path().display()
    ))
    .await;
    assert_eq!(told(&mut inside, "one").await, ["platform"]);
    let (s3, lambda) = (inside.slack.url("s3"), inside.slack.url("lambda"));
    mount.swap("2026_08_20_10_00_00.1", &[("lambda", &lambda)]);
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "two").await, ["platform"]);
    mount.swap(
        "2026_08_20_10_05_00.2",
        &[("lambda", &lambda), ("s3", &format!("{s3}\n"))],
    );
    assert_eq!(inside.reload(), Reload::Swapped);
    assert_eq!(told(&mut inside, "three").await, ["s3"]);
}

/// The real program with a configuration of its own.
struct Running {
    home: TempDir,
    slack: SlackStandIn,
    daemon: Daemon,
    http: reqwest::Client,
    /// Failures reported so far; each is of another job.
    reported: usize,
}

const TOKENS: [&str; 2] = ["the-first-token", "the-second-token"];

impl Running {
    async fn start() -> Self {
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name).display().to_string();
        fs::create_dir(home.path().join("config")).unwrap();
        fs::write(home.path().join("hmac"), TOKENS[0]).unwrap();
        fs::write(home.path().join("platform"), slack.url("platform")).unwrap();
        fs::write(home.path().join("team"), slack.url("team")).unwrap();
        let config = format!(
            "store: {{ url: \"sqlite://{}\" }}\nserver: {{ listen: \"127.0.0.1:0\" }}\nsources: {{ webhook: {{ hmac_file: {} }} }}\ndelivery: {{ allowed_hosts: [\"{}\"] }}\nreceivers:\n  - name: platform\n    slack: {{ webhook_url_file: {} }}\ndefault_receiver: platform\nartifacts: {{ enabled: false }}\n{EACH_JOB_A_STAGE}",
            path("state.db"),
            path("hmac"),
            slack.host(),
            path("platform"),
        );
        fs::write(home.path().join("config/10.yaml"), config).unwrap();
        let daemon = Daemon::start(&home.path().join("config")).await;
        Self {
            home,
            slack,
            daemon,
            http: Http::new().unwrap().open().clone(),
            reported: 0,
        }
    }

    /// Puts a file in its place as a whole, because the daemon looks when it likes.
    fn write(&self, name: &str, text: &str) {
        let new = self.home.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.home.path().join(name)).unwrap();
    }

    /// Asks the daemon to look at its files.
    fn hang_up(&self) {
        let asked = Command::new("sh")
            .args(["-c", &format!("kill -HUP {}", self.daemon.child.id())])
            .status();
        assert!(asked.unwrap().success());
    }

    /// Waits until the metrics hold this line.
    async fn counted(&self, line: &str) {
        let url = format!("http://{}/metrics", self.daemon.address);
        let looked = async {
            loop {
                let reply = Reply::to(self.http.get(&url)).await;
                if reply.text.lines().any(|known| known == line) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, looked).await;
        assert!(
            found.is_ok(),
            "never {line}:\n{}",
            self.daemon.log().join("\n")
        );
    }

    /// Reports a failure of a new job under this token; returns the answer's status.
    async fn report(&mut self, token: &str) -> u16 {
        self.reported += 1;
        let now: Timestamp = Clock::System.now();
        let job: Job = failed("s3", &format!("stage-{}", self.reported), now);
        let body = job.to_json().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let url = format!("http://{}/hooks/prowjob", self.daemon.address);
        let request = self.http.post(url).header("X-Hub-Signature-256", signature);
        Reply::to(request.body(body)).await.status
    }

    /// The webhook that got the next message.
    async fn told(&self, count: usize) -> String {
        let all = tokio::time::timeout(DEADLINE, self.slack.wait_for(count)).await;
        all.unwrap().last().unwrap().hook.clone()
    }
}

#[tokio::test]
async fn a_running_daemon_takes_a_change_on_sighup_and_refuses_a_bad_one() {
    let mut running = Running::start().await;
    assert_eq!(running.report(TOKENS[0]).await, 202);
    assert_eq!(running.told(1).await, "platform");
    let team = running.home.path().join("team").display().to_string();
    let receivers =
        format!("receivers:\n  - name: team\n    slack: {{ webhook_url_file: {team} }}\n");
    running.write(
        "config/20.yaml",
        &format!("{receivers}routes: [ {{ receiver: team }} ]\n"),
    );
    running.hang_up();
    running
        .counted("prow_notifier_config_reloads_total{result=\"success\"} 1")
        .await;
    assert_eq!(running.report(TOKENS[0]).await, 202);
    assert_eq!(running.told(2).await, "team");
    running.write(
        "config/20.yaml",
        &format!("{receivers}routes: [ {{ receiver: taem }} ]\n"),
    );
    running.hang_up();
    running
        .counted("prow_notifier_config_reloads_total{result=\"failure\"} 1")
        .await;
    running
        .counted("prow_notifier_config_last_reload_successful 0")
        .await;
    let refused = running
        .daemon
        .logged("Refused a bad configuration", 0)
        .await;
    assert_eq!(refused["level"], "ERROR");
    let reason = refused["reason"].as_str().unwrap();
    assert!(
        reason.contains("config/20.yaml:4:23: no receiver is named `taem`"),
        "{reason}"
    );
    assert_eq!(running.report(TOKENS[0]).await, 202);
    assert_eq!(running.told(3).await, "team");
    // Put back, and said at once: what is in force is what is on disk.
    running.write(
        "config/20.yaml",
        &format!("{receivers}routes: [ {{ receiver: team }} ]\n"),
    );
    running.hang_up();
    running
        .counted("prow_notifier_config_last_reload_successful 1")
        .await;
    running.hang_up();
    let unchanged = running
        .daemon
        .logged("The configuration has not changed", 0)
        .await;
    assert_eq!(unchanged["level"], "INFO");
}

#[tokio::test]
async fn tokens_are_rotated_without_a_gap() {
    let mut running = Running::start().await;
    assert_eq!(running.report(TOKENS[0]).await, 202);
    assert_eq!(running.report(TOKENS[1]).await, 401);
    let both = format!(
        "'*':\n  - value: {}\n    created_at: 2026-08-01T00:00:00Z\n  - value: {}\n    created_at: 2026-08-20T00:00:00Z\n",
        TOKENS[0], TOKENS[1]
    );
    running.write("hmac", &both);
    running.hang_up();
    running
        .counted("prow_notifier_config_reloads_total{result=\"success\"} 1")
        .await;
    assert_eq!(running.report(TOKENS[0]).await, 202);
    assert_eq!(running.report(TOKENS[1]).await, 202);
    running.write("hmac", TOKENS[1]);
    running.hang_up();
    running
        .counted("prow_notifier_config_reloads_total{result=\"success\"} 2")
        .await;
    assert_eq!(running.report(TOKENS[0]).await, 401);
    assert_eq!(running.report(TOKENS[1]).await, 202);
    let log = running.daemon.log().join("\n");
    assert!(TOKENS.iter().all(|token| !log.contains(token)), "{log}");
}
