//! What the API server's refusals mean, for a person who can do something about it.

use std::error::Error;

use serde::Deserialize;

use super::{Target, Verb};

/// Most of what the server says that is repeated, in characters.
const MAX_SAID: usize = 300;

/// Why something could not be done with the API server.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {problem}")]
pub struct ClusterError {
    /// What was to be done: `list prowjobs.prow.k8s.io in namespace prow`.
    pub what: String,
    /// Why it was not.
    pub problem: Problem,
}

/// What came instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No address, no credentials.
    #[error(
        "{0}; inside a cluster mount the service account's token (automountServiceAccountToken: true), elsewhere set sources.watch.kubeconfig"
    )]
    Access(String),
    /// No connection.
    #[error("no connection to the API server ({0}); check its address, DNS and the network policy")]
    Unreachable(String),
    /// Not done in time.
    #[error("the API server gave no complete answer in time")]
    Timeout,
    /// Nothing came for longer than a living connection is silent.
    #[error("the connection was silent for {0} s, so it is taken for dead")]
    Silent(u64),
    /// The connection ended early.
    #[error("the answer broke off ({0})")]
    Broken(String),
    /// 401.
    #[error(
        "the API server does not accept our token (401{0}); it has expired or is none of its own: mount the service account's token anew, or renew the kubeconfig's"
    )]
    Unauthorized(String),
    /// 403.
    #[error(
        "forbidden (403{said}); the account lacks the verb `{verb}` on {resource} in namespace {namespace}: apply {manifest}, which allows that"
    )]
    Forbidden {
        /// What RBAC does not allow.
        verb: &'static str,
        /// On what.
        resource: String,
        /// Where.
        namespace: String,
        /// What allows it.
        manifest: &'static str,
        /// What the server says.
        said: String,
    },
    /// 404.
    #[error("there is none (404{0}); check the namespace, and that this is the cluster you mean")]
    Missing(String),
    /// 409: it has changed since it was read.
    #[error("it changed in the meantime (409)")]
    Conflict,
    /// 410: what it was to go on from is too old.
    #[error("the API server has forgotten where we were (410)")]
    Gone,
    /// Any other.
    #[error("the API server answered {0}{1}")]
    Status(u16, String),
    /// More than is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// Not what Kubernetes answers.
    #[error("the answer is not of Kubernetes ({0}); is there a proxy in between?")]
    Unreadable(String),
}

/// `metav1.Status`, as far as it is of use.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
}

impl Problem {
    /// What a status code means, with the body that came with it.
    pub fn of(target: &Target<'_>, code: u16, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_default();
        let said = said(&status.message);
        match code {
            401 => Self::Unauthorized(said),
            403 => Self::forbidden(target, said),
            404 => Self::Missing(said),
            409 => Self::Conflict,
            410 => Self::Gone,
            _ => Self::Status(code, said),
        }
    }

    /// The right to do this is missing.
    pub fn forbidden(target: &Target<'_>, said: String) -> Self {
        Self::Forbidden {
            verb: target.verb.as_str(),
            resource: target.resource.name(),
            namespace: target.namespace.to_owned(),
            manifest: match target.verb {
                Verb::Patch => "deploy/overlays/abort",
                Verb::Get | Verb::List | Verb::Watch => target.resource.manifest,
            },
            said,
        }
    }
}

/// `: what the server says`, at most one line of it.
fn said(message: &str) -> String {
    let line: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SAID)
        .collect();
    if line.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", line.trim())
    }
}

/// An error with all its causes that add something, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.chars().take(MAX_SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Resource;

    #[test]
    fn a_refusal_names_the_verb_the_resource_the_namespace_and_the_manifest() {
        let target = Target {
            verb: Verb::Watch,
            resource: Resource {
                group: "prow.k8s.io",
                version: "v1",
                plural: "prowjobs",
                manifest: "deploy/overlays/watch",
            },
            namespace: "prow",
            name: "",
        };
        let body = br#"{"kind":"Status","message":"User \"x\" cannot\nwatch","code":403}"#;
        let error = target.failed(Problem::of(&target, 403, body)).to_string();
        for words in [
            "cannot watch prowjobs.prow.k8s.io in namespace prow",
            "User \"x\" cannot watch",
            "verb `watch`",
            "apply deploy/overlays/watch",
        ] {
            assert!(error.contains(words), "{error}");
        }
        let patch = Target {
            verb: Verb::Patch,
            ..target
        };
        let error = Problem::of(&patch, 403, b"<html>").to_string();
        assert!(error.contains("deploy/overlays/abort"), "{error}");
        assert!(matches!(Problem::of(&target, 410, b""), Problem::Gone));
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(9999));
        assert!(Problem::of(&target, 500, long.as_bytes()).to_string().len() < 400);
    }
}
