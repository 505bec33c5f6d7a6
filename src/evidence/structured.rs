//! Evidence that needs no reading of logs: the ProwJob's description and `finished.json`. Also how all
//! JSON of a run is opened: capped, and never failing on what is missing or of another type.

use serde_json::Value;

use super::clue::Clue;
use crate::domain::evidence::{CauseClass, Origin};

/// Bytes of a JSON file that are read; Prow's own are a few kilobytes, a pod with many events some more.
const LARGEST: usize = 4 << 20;

/// Opens a JSON file of a run. The error is for people.
pub(super) fn open(file: &str, bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > LARGEST {
        let mebibytes = bytes.len() >> 20;
        return Err(format!("{file} is too large to be read ({mebibytes} MiB)"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        // The error's own text may quote the file, its place does not.
        format!(
            "{file} is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    })
}

/// Text at a key; empty when there is none.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A list at a key; empty when there is none.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Key words of what plank writes when it ends a job itself, the rule's name, and the class. The firmness
/// says whether the pod can tell more. Texts: <https://github.com/kubernetes-sigs/prow>, `pkg/plank`.
const DESCRIPTIONS: [(&str, &str, CauseClass, bool); 11] = [
    (
        "oom killed",
        "pod-oom-killed",
        CauseClass::OutOfMemory,
        true,
    ),
    (
        "evicted by the cluster",
        "pod-evicted",
        CauseClass::Infrastructure,
        true,
    ),
    (
        "running timeout",
        "pod-running-timeout",
        CauseClass::Timeout,
        true,
    ),
    (
        "can not be created",
        "pod-refused",
        CauseClass::Configuration,
        true,
    ),
    (
        "terminal error",
        "prow-terminal-error",
        CauseClass::Configuration,
        true,
    ),
    (
        "build client not found",
        "no-build-cluster",
        CauseClass::Configuration,
        true,
    ),
    (
        "scheduling timeout",
        "pod-scheduling-timeout",
        CauseClass::Infrastructure,
        false,
    ),
    (
        "pending timeout",
        "pod-pending-timeout",
        CauseClass::Infrastructure,
        false,
    ),
    (
        "max revivals",
        "pod-max-revivals",
        CauseClass::Infrastructure,
        false,
    ),
    (
        "deleted unexpectedly",
        "pod-deleted",
        CauseClass::Infrastructure,
        true,
    ),
    (
        "some containers didn't finish",
        "pod-inconsistent",
        CauseClass::Infrastructure,
        true,
    ),
];

/// What the description of a ProwJob says; `None` when it only says that the job failed.
pub(super) fn description(description: &str) -> Option<Clue> {
    let lower = description.to_lowercase();
    let &(_, rule, class, is_firm) = DESCRIPTIONS
        .iter()
        .find(|(words, ..)| lower.contains(words))?;
    Some(Clue {
        is_firm,
        ..Clue::new(Origin::Description, rule, class, description.trim())
    })
}

/// Keys of `metadata` in which jobs say why they failed.
const REASON_KEYS: [&str; 5] = ["error", "reason", "failure", "failure_reason", "message"];

/// What `finished.json` says beyond that the run failed. It is the pod's own view, so it comes last.
pub(super) fn finished(bytes: &[u8]) -> Result<Option<Clue>, String> {
    let file = open("finished.json", bytes)?;
    let metadata = file.get("metadata").unwrap_or(&Value::Null);
    let said = REASON_KEYS
        .iter()
        .map(|key| text(metadata, key).trim())
        .find(|said| !said.is_empty());
    if let Some(said) = said {
        let class = class_of_metadata(said);
        return Ok(Some(
            Clue::new(Origin::Finished, "finished-metadata", class, said).weak(),
        ));
    }
    // The sidecar writes it in capitals when a container was told to stop; crier's own is in small letters.
    Ok((text(&file, "result") == "ABORTED").then(|| {
        Clue::new(
            Origin::Finished,
            "finished-aborted",
            CauseClass::Infrastructure,
            "the pod was told to stop while the job ran (node shut down, drained or preempted)",
        )
        .weak()
    }))
}

fn class_of_metadata(said: &str) -> CauseClass {
    super::clue::class_of(said, CauseClass::Unclassified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_of_plank_are_understood_and_others_are_not() {
        for (text, class, firm) in [
            (
                "Job pod was OOM killed by the cluster.",
                Some(CauseClass::OutOfMemory),
                true,
            ),
            ("Pod running timeout.", Some(CauseClass::Timeout), true),
            (
                "Pod pending timeout.",
                Some(CauseClass::Infrastructure),
                false,
            ),
            (
                "Pod can not be created: pods \"x\" is forbidden: exceeded quota",
                Some(CauseClass::Configuration),
                true,
            ),
            ("Job failed.", None, true),
            ("Job triggered.", None, true),
            ("", None, true),
        ] {
            let clue = description(text);
            assert_eq!(clue.as_ref().map(|clue| clue.class), class, "{text}");
            assert!(clue.is_none_or(|clue| clue.is_firm == firm), "{text}");
        }
    }

    #[test]
    fn finished_says_why_only_when_it_knows_more_than_failed() {
        for (json, headline) in [
            (r#"{"timestamp":1,"passed":false,"result":"FAILURE"}"#, None),
            (
                r#"{"passed":null,"result":"ABORTED","metadata":null}"#,
                Some("the pod was told to stop"),
            ),
            (
                r#"{"result":"aborted","metadata":{"uploader":"crier"}}"#,
                None,
            ),
            (
                r#"{"result":"FAILURE","metadata":{"error":"tag exists"}}"#,
                Some("tag exists"),
            ),
            (r#"{"result":3,"metadata":[1]}"#, None),
            ("[]", None),
        ] {
            let clue = finished(json.as_bytes()).unwrap();
            match (clue, headline) {
                (None, None) => {}
                (Some(clue), Some(start)) => assert!(clue.headline.starts_with(start)),
                (clue, _) => panic!("{json}: {clue:?}"),
            }
        }
        assert_eq!(
            finished(b"<html>sk-secret").unwrap_err(),
            "finished.json is not JSON (line 1, column 1)"
        );
    }
}
