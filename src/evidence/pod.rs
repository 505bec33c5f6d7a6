//! `podinfo.json`: the pod and its events, as crier's Kubernetes reporter leaves them. The order of the
//! rules is that of Spyglass' lens `podinfo`, with a few of our own in between.

use serde_json::Value;

use super::{
    LogText,
    clue::{Clue, class_of},
    structured::{list, open, text},
};
use crate::domain::evidence::{CauseClass, Origin};

/// What a pod says: why it failed, and the end of a log when its containers kept one.
#[derive(Debug, Default)]
pub(super) struct Pod {
    /// Why.
    pub(super) clue: Option<Clue>,
    /// Termination messages. Prow sets `FallbackToLogsOnError`, so they often hold the last 2 KiB of the log.
    pub(super) messages: Vec<LogText>,
    /// Names of the containers of the job that failed.
    pub(super) failed: Vec<String>,
}

const IMAGE: [&str; 5] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
];
const CONTAINER: [&str; 4] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
];
/// SIGKILL: somebody's limit, or somebody's patience.
const KILLED: i64 = 137;

/// Reads it; the error is for people.
pub(super) fn read(bytes: &[u8]) -> Result<Pod, String> {
    let file = open("podinfo.json", bytes)?;
    let view = View::new(&file);
    Ok(Pod {
        clue: view.clue(),
        messages: view.messages(),
        failed: view.failed(),
    })
}

struct View<'v> {
    phase: &'v str,
    reason: &'v str,
    message: &'v str,
    init: &'v [Value],
    main: &'v [Value],
    /// Newest first.
    events: Vec<&'v Value>,
}

impl<'v> View<'v> {
    fn new(file: &'v Value) -> Self {
        let pod = file.get("pod").unwrap_or(&Value::Null);
        let status = pod.get("status").unwrap_or(&Value::Null);
        let mut events: Vec<&Value> = list(file, "events").iter().collect();
        events.sort_by_key(|event| std::cmp::Reverse(event_time(event)));
        Self {
            phase: text(status, "phase"),
            reason: text(status, "reason"),
            message: text(status, "message"),
            init: list(status, "initContainerStatuses"),
            main: list(status, "containerStatuses"),
            events,
        }
    }

    fn clue(&self) -> Option<Clue> {
        self.image()
            .or_else(|| self.out_of_memory())
            .or_else(|| self.not_created())
            .or_else(|| self.whole_pod())
            .or_else(|| self.pending())
            .or_else(|| self.init_failed())
            .or_else(|| self.killed())
    }

    fn containers(&self) -> impl Iterator<Item = &'v Value> {
        self.init.iter().chain(self.main)
    }

    /// The newest event with one of the reasons.
    fn event(&self, reasons: &[&str]) -> Option<&'v str> {
        self.events
            .iter()
            .find(|event| reasons.contains(&text(event, "reason")))
            .map(|event| text(event, "message"))
    }

    fn waiting(&self, reasons: &[&str]) -> Option<(&'v Value, &'v str, &'v str)> {
        self.containers().find_map(|container| {
            let waiting = container.get("state")?.get("waiting")?;
            let reason = text(waiting, "reason");
            reasons
                .contains(&reason)
                .then(|| (container, reason, text(waiting, "message")))
        })
    }

    fn image(&self) -> Option<Clue> {
        let (container, _, message) = self.waiting(&IMAGE)?;
        // "Back-off pulling image" says nothing of why; the event before it does.
        let failed = self
            .events
            .iter()
            .map(|event| text(event, "message"))
            .find(|message| message.starts_with("Failed to pull image"));
        let why = failed.unwrap_or(message);
        let (name, image) = (text(container, "name"), text(container, "image"));
        Some(clue(
            "image-pull",
            class_of(why, CauseClass::Registry),
            &format!("container {name} cannot pull image {image}: {why}"),
        ))
    }

    fn out_of_memory(&self) -> Option<Clue> {
        let container = self.containers().find(|container| {
            ["state", "lastState"]
                .iter()
                .filter_map(|state| container.get(state)?.get("terminated"))
                .any(|end| text(end, "reason") == "OOMKilled")
        })?;
        let name = text(container, "name");
        Some(clue(
            "container-oom-killed",
            CauseClass::OutOfMemory,
            &format!("container {name} used more memory than it may and was killed (OOMKilled)"),
        ))
    }

    fn not_created(&self) -> Option<Clue> {
        let (container, reason, message) = self.waiting(&CONTAINER)?;
        let name = text(container, "name");
        Some(clue(
            "container-not-created",
            CauseClass::Configuration,
            &format!("container {name} cannot start ({reason}): {message}"),
        ))
    }

    /// What the pod as a whole died of.
    fn whole_pod(&self) -> Option<Clue> {
        let class = match self.reason {
            "Evicted" if self.message.contains("ephemeral") => CauseClass::Disk,
            "Evicted"
            | "NodeLost"
            | "Preempting"
            | "Preempted"
            | "Shutdown"
            | "NodeShutdown"
            | "Terminated"
            | "NodeAffinity"
            | "MatchNodeSelector"
            | "UnexpectedAdmissionError"
            | "OutOfcpu"
            | "OutOfmemory"
            | "OutOfpods" => CauseClass::Infrastructure,
            "DeadlineExceeded" => CauseClass::Timeout,
            _ => return None,
        };
        let rule = match self.reason {
            "Evicted" => "pod-evicted",
            "DeadlineExceeded" => "pod-deadline",
            _ => "pod-rejected",
        };
        Some(clue(
            rule,
            class,
            &said("the cluster ended the pod", self.reason, self.message),
        ))
    }

    /// What keeps a pod from starting. Once it runs, such events are history.
    fn pending(&self) -> Option<Clue> {
        if self.phase != "Pending" {
            return None;
        }
        if let Some(message) = self.event(&["FailedMount", "FailedAttachVolume"]) {
            let lower = message.to_lowercase();
            let ours = lower.contains("not found") || lower.contains("references non-existent");
            let class = if ours {
                CauseClass::Configuration
            } else {
                CauseClass::Infrastructure
            };
            return Some(clue("volume-mount", class, message));
        }
        if let Some(message) = self.event(&["FailedScheduling"]) {
            let headline = format!("no node fits the pod: {message}");
            return Some(clue(
                "pod-unschedulable",
                CauseClass::Infrastructure,
                &headline,
            ));
        }
        let message = self.event(&[
            "FailedCreatePodSandBox",
            "FailedCreatePodSandbox",
            "FailedSync",
        ])?;
        let headline = format!("the node cannot set up the pod: {message}");
        Some(clue("pod-sandbox", CauseClass::Infrastructure, &headline))
    }

    /// Prow's own containers before the job's.
    fn init_failed(&self) -> Option<Clue> {
        self.init.iter().find_map(|container| {
            let state = container.get("state")?;
            let name = text(container, "name");
            let ended = state.get("terminated").filter(|end| exit_code(end) != 0);
            let (reason, message) = match (ended, state.get("waiting")) {
                (Some(end), _) => (text(end, "reason"), last_line(text(end, "message"))),
                (None, Some(waiting)) if self.phase == "Pending" => {
                    (text(waiting, "reason"), text(waiting, "message"))
                }
                _ => return None,
            };
            let headline = said(&format!("init container {name} failed"), reason, message);
            let class = class_of(message, CauseClass::Infrastructure);
            Some(clue("init-container", class, &headline).weak())
        })
    }

    fn killed(&self) -> Option<Clue> {
        let ended = |container: &Value| container.get("state")?.get("terminated").map(exit_code);
        let container = self
            .main
            .iter()
            .find(|container| ended(container) == Some(KILLED))?;
        let name = text(container, "name");
        let headline = format!("container {name} was killed (exit code 137)");
        Some(clue("container-killed", CauseClass::Infrastructure, &headline).weak())
    }

    fn failed(&self) -> Vec<String> {
        let is_bad = |container: &&Value| {
            let end = container
                .get("state")
                .and_then(|state| state.get("terminated"));
            end.is_some_and(|end| exit_code(end) != 0)
        };
        let bad = self.main.iter().filter(is_bad);
        bad.map(|container| text(container, "name").to_owned())
            .collect()
    }

    fn messages(&self) -> Vec<LogText> {
        let message = |container: &Value| {
            let end = container.get("state")?.get("terminated")?;
            let message = text(end, "message");
            (exit_code(end) != 0 && !message.trim().is_empty()).then(|| LogText {
                file: format!("podinfo.json ({})", text(container, "name")),
                bytes: message.as_bytes().to_vec(),
                first_line: None,
                // The kubelet keeps the last 2,048 bytes or 80 lines, wherever they begin.
                starts_line: message.len() < 2_000,
            })
        };
        self.main.iter().filter_map(message).collect()
    }
}

fn clue(rule: &'static str, class: CauseClass, headline: &str) -> Clue {
    Clue::new(
        Origin::Pod,
        rule,
        class,
        headline.trim_end_matches([':', ' ']),
    )
}

fn said(what: &str, reason: &str, message: &str) -> String {
    match (reason.is_empty(), message.trim().is_empty()) {
        (true, true) => what.to_owned(),
        (false, true) => format!("{what} ({reason})"),
        (true, false) => format!("{what}: {message}"),
        (false, false) => format!("{what} ({reason}): {message}"),
    }
}

fn last_line(message: &str) -> &str {
    message.trim().lines().next_back().unwrap_or_default()
}

fn exit_code(end: &Value) -> i64 {
    end.get("exitCode").and_then(Value::as_i64).unwrap_or(0)
}

/// RFC 3339 in UTC, so the order of the texts is that of the times.
fn event_time(event: &Value) -> &str {
    let created = event
        .get("metadata")
        .map_or("", |metadata| text(metadata, "creationTimestamp"));
    [
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
        text(event, "firstTimestamp"),
        created,
    ]
    .into_iter()
    .find(|time| !time.is_empty())
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value, events: &Value) -> Pod {
        let file = json!({"pod": {"status": status}, "events": events, "node": null});
        read(file.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn every_rule_finds_its_pod() {
        let waiting = |reason: &str, message: &str| json!([{"name": "test", "image": "r.io/i:1", "state": {"waiting": {"reason": reason, "message": message}}}]);
        let ended = |code: i64, reason: &str| json!([{"name": "test", "state": {"terminated": {"exitCode": code, "reason": reason}}}]);
        let event = |reason: &str, message: &str| json!([{"reason": reason, "message": message}]);
        for (status, events, rule, class, headline) in [
            (
                json!({"phase": "Pending", "containerStatuses": waiting("ImagePullBackOff", "Back-off pulling image \"r.io/i:1\"")}),
                json!([
                    {"reason": "Failed", "message": "Failed to pull image \"r.io/i:1\": not found", "lastTimestamp": "2026-08-20T10:14:00Z"},
                    {"reason": "BackOff", "message": "Back-off", "lastTimestamp": "2026-08-20T10:15:00Z"}
                ]),
                "image-pull",
                CauseClass::Registry,
                "container test cannot pull image r.io/i:1: Failed to pull image \"r.io/i:1\": not found",
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": waiting("ErrImagePull", "toomanyrequests: slow down")}),
                Value::Null,
                "image-pull",
                CauseClass::RateLimit,
                "container test cannot pull image r.io/i:1: toomanyrequests: slow down",
            ),
            (
                json!({"phase": "Running", "containerStatuses": ended(137, "OOMKilled")}),
                json!([]),
                "container-oom-killed",
                CauseClass::OutOfMemory,
                "container test used more memory than it may and was killed (OOMKilled)",
            ),
            (
                json!({"containerStatuses": waiting("CreateContainerConfigError", "secret \"x\" not found")}),
                json!([]),
                "container-not-created",
                CauseClass::Configuration,
                "container test cannot start (CreateContainerConfigError): secret \"x\" not found",
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
                json!([]),
                "pod-evicted",
                CauseClass::Infrastructure,
                "the cluster ended the pod (Evicted): The node was low on resource: memory.",
            ),
            (
                json!({"phase": "Pending"}),
                event(
                    "FailedMount",
                    "MountVolume.SetUp failed for volume \"x\" : secret \"x\" not found",
                ),
                "volume-mount",
                CauseClass::Configuration,
                "MountVolume.SetUp failed for volume \"x\" : secret \"x\" not found",
            ),
            (
                json!({"phase": "Pending"}),
                event(
                    "FailedScheduling",
                    "0/3 nodes are available: 3 Insufficient memory.",
                ),
                "pod-unschedulable",
                CauseClass::Infrastructure,
                "no node fits the pod: 0/3 nodes are available: 3 Insufficient memory.",
            ),
            (
                json!({"phase": "Pending"}),
                event("FailedCreatePodSandBox", "rpc error"),
                "pod-sandbox",
                CauseClass::Infrastructure,
                "the node cannot set up the pod: rpc error",
            ),
            (
                json!({"phase": "Failed", "initContainerStatuses": ended(1, "Error")}),
                event("FailedMount", "long ago"),
                "init-container",
                CauseClass::Infrastructure,
                "init container test failed (Error)",
            ),
            (
                json!({"phase": "Failed", "containerStatuses": ended(137, "Error")}),
                json!([]),
                "container-killed",
                CauseClass::Infrastructure,
                "container test was killed (exit code 137)",
            ),
        ] {
            let found = pod(&status, &events)
                .clue
                .unwrap_or_else(|| panic!("{rule}"));
            assert_eq!(
                (found.rule, found.class, found.headline.as_str()),
                (rule, class, headline)
            );
        }
    }

    #[test]
    fn a_pod_that_only_failed_explains_nothing_but_may_keep_the_end_of_the_log() {
        let status = json!({"phase": "Failed", "containerStatuses": [
            {"name": "test", "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": "make: boom"}}},
            {"name": "sidecar", "state": {"terminated": {"exitCode": 0, "message": "fine"}}},
        ]});
        let found = pod(&status, &json!([]));
        assert_eq!(found.clue, None);
        assert_eq!(found.messages.len(), 1);
        assert_eq!(found.messages[0].bytes, b"make: boom");
    }

    #[test]
    fn other_shapes_are_no_error() {
        for file in [
            "{}",
            "[]",
            "null",
            r#"{"pod":null,"events":null}"#,
            r#"{"pod":{"status":{"phase":3,"containerStatuses":{"a":1}}},"events":[null,3,{"reason":[]}]}"#,
        ] {
            assert!(read(file.as_bytes()).unwrap().clue.is_none(), "{file}");
        }
        assert!(read(b"").is_err());
    }
}
