//! ProwJobs as ACK's Prow makes them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Twitter's epoch, from which Prow's build ids count, in milliseconds.
const SNOWFLAKE_EPOCH_MS: i64 = 1_288_834_974_657;

/// A postsubmit's run, from which the whole ProwJob follows: the same fields give the same ProwJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Organisation.
    pub org: String,
    /// Repository.
    pub repo: String,
    /// Job name.
    pub job: String,
    /// Branch or tag.
    pub base_ref: String,
    /// Commit; by default made from repository and ref.
    pub base_sha: Option<String>,
    /// Prow's state.
    pub state: String,
    /// Prow's description.
    pub description: String,
    /// When the run was created.
    pub started: Timestamp,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Whether it never got a pod, and so has neither build id nor page.
    pub without_pod: bool,
    /// Bucket of S3 that its log goes to.
    pub bucket: String,
    /// Where deck shows runs, up to and with `/view/`.
    pub view_url: String,
    /// Annotations besides Prow's own.
    pub annotations: Vec<(String, String)>,
}

impl Job {
    /// A run of ACK that succeeded within ten minutes.
    pub fn new(repo: &str, job: &str, base_ref: &str, started: Timestamp) -> Self {
        let ten_minutes = jiff::SignedDuration::from_mins(10);
        Self {
            org: "aws-controllers-k8s".to_owned(),
            repo: repo.to_owned(),
            job: job.to_owned(),
            base_ref: base_ref.to_owned(),
            base_sha: None,
            state: "success".to_owned(),
            description: "Job succeeded.".to_owned(),
            started,
            completed: started.checked_add(ten_minutes).ok(),
            without_pod: false,
            bucket: "ack-prow-logs".to_owned(),
            view_url: "https://prow.example.com/view/".to_owned(),
            annotations: Vec::new(),
        }
    }

    /// The same run in another state.
    #[must_use]
    pub fn ended(mut self, state: &str, description: &str, completed: Option<Timestamp>) -> Self {
        state.clone_into(&mut self.state);
        description.clone_into(&mut self.description);
        self.completed = completed;
        self
    }

    /// `metadata.name`: the same for the run in every state.
    pub fn name(&self) -> String {
        uuid(&self.hash(&["name", &self.job]))
    }

    /// A snowflake of the time at which the pod starts, unlike those of other runs of that moment.
    pub fn build_id(&self) -> String {
        let millis = (self.started.as_millisecond() - SNOWFLAKE_EPOCH_MS).max(0);
        let hash = self.hash(&["build id", &self.job]);
        let low = hash
            .get(..5)
            .and_then(|digits| i64::from_str_radix(digits, 16).ok());
        ((millis << 22) | low.unwrap_or_default()).to_string()
    }

    /// The directory of the run's files.
    pub fn directory(&self) -> String {
        format!("{}/logs/{}/{}", self.bucket, self.job, self.build_id())
    }

    /// The ProwJob.
    pub fn to_json(&self) -> Value {
        json!({
            "kind": "ProwJob",
            "apiVersion": "prow.k8s.io/v1",
            "metadata": self.metadata(),
            "spec": self.spec(),
            "status": self.status(),
        })
    }

    fn metadata(&self) -> Value {
        let name = self.name();
        let mut annotations = Map::from_iter([
            ("prow.k8s.io/job".to_owned(), json!(self.job)),
            ("prow.k8s.io/context".to_owned(), json!(self.job)),
        ]);
        let own = self.annotations.iter();
        annotations.extend(own.map(|(key, value)| (key.clone(), json!(value))));
        let mut labels = json!({
            "created-by-prow": "true",
            "event-GUID": uuid(&self.hash(&["event"])),
            "prow.k8s.io/context": label(&self.job),
            "prow.k8s.io/id": name,
            "prow.k8s.io/job": label(&self.job),
            "prow.k8s.io/refs.base_ref": label(&self.base_ref),
            "prow.k8s.io/refs.org": self.org,
            "prow.k8s.io/refs.repo": self.repo,
            "prow.k8s.io/type": "postsubmit",
        });
        if let (false, Some(labels)) = (self.without_pod, labels.as_object_mut()) {
            labels.insert("prow.k8s.io/build-id".to_owned(), json!(self.build_id()));
        }
        json!({
            "name": name,
            "namespace": "prow",
            "creationTimestamp": seconds(self.started),
            "labels": labels,
            "annotations": annotations,
        })
    }

    fn spec(&self) -> Value {
        let link = format!("https://github.com/{}/{}", self.org, self.repo);
        let sha = self.base_sha.clone().unwrap_or_else(|| self.commit());
        json!({
            "type": "postsubmit",
            "agent": "kubernetes",
            "cluster": "default",
            "namespace": "test-pods",
            "job": self.job,
            "refs": {
                "org": self.org,
                "repo": self.repo,
                "repo_link": link,
                "base_ref": self.base_ref,
                "base_sha": sha,
                "base_link": format!("{link}/compare/{}", self.base_ref),
            },
            "extra_refs": [
                {"org": self.org, "repo": "test-infra", "base_ref": "main", "workdir": true},
            ],
            "report": true,
            "context": self.job,
            "pod_spec": {"containers": [{
                "name": "",
                "image": "registry.example.com/ack:deploy",
                "command": ["/bin/bash", "-c", "cd cd/scripts && ./release-controller.sh"],
                "resources": {"requests": {"cpu": "2", "memory": "5120Mi"}},
            }]},
            "decoration_config": {
                "timeout": "2h0m0s",
                "gcs_configuration": {
                    "bucket": format!("s3://{}", self.bucket),
                    "path_strategy": "explicit",
                },
            },
        })
    }

    fn status(&self) -> Value {
        let mut status = json!({
            "startTime": seconds(self.started),
            "state": self.state,
            "description": self.description,
        });
        let Some(fields) = status.as_object_mut() else {
            return status;
        };
        if let Some(completed) = self.completed {
            fields.insert("completionTime".to_owned(), json!(seconds(completed)));
        }
        if !self.without_pod && !matches!(self.state.as_str(), "scheduling" | "triggered") {
            let url = format!("{}s3/{}", self.view_url, self.directory());
            fields.insert("pendingTime".to_owned(), json!(seconds(self.started)));
            fields.insert("pod_name".to_owned(), json!(self.name()));
            fields.insert("build_id".to_owned(), json!(self.build_id()));
            fields.insert("url".to_owned(), json!(url));
        }
        status
    }

    /// The commit that a ref of the repository points at: the same for all jobs of one push.
    fn commit(&self) -> String {
        let digest = Sha256::digest(format!("{}/{}@{}", self.org, self.repo, self.base_ref));
        hex::encode(digest).chars().take(40).collect()
    }

    /// Digits that follow from the push and `more`.
    fn hash(&self, more: &[&str]) -> String {
        let started = self.started.to_string();
        let push = [&self.org, &self.repo, &self.base_ref, &started].map(String::as_str);
        hex::encode(Sha256::digest([&push, more].concat().join("\n")))
    }
}

/// Gives digits the shape of a random UUID.
fn uuid(digits: &str) -> String {
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}

/// Prow writes whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// Prow cuts label values to 63 characters, and what they may not end in.
fn label(text: &str) -> String {
    let cut: String = text.chars().take(63).collect();
    cut.trim_end_matches(['.', '_', '-']).to_owned()
}
