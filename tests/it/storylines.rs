//! Releases of ACK that went wrong, as they happened, through the shipped rules and the real parts of the daemon: a
//! channel per service, one for the platform, and the jobs' logs in a bucket.

mod ec2;
mod everything;
mod fleet;
mod lambda;

use std::{collections::BTreeSet, fs};

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    domain::decision::Decision,
    slack::preview_text,
    standin::{
        bucket::{BucketStandin, Object},
        prow::Job,
    },
};
use tokio_util::task::TaskTracker;

use crate::inside::Inside;

const RULES: &str = include_str!("../../config/ack.yaml");
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// One sighting of a run, with the log that is there from then on.
struct Step {
    at: Timestamp,
    job: Job,
    log: Option<String>,
}

/// What Prow does, in any order.
#[derive(Default)]
struct Story(Vec<Step>);

impl Story {
    /// A run from its start to its end.
    fn run(&mut self, job: Job, ended: Timestamp, state: &str, log: Option<String>) {
        let description = match state {
            "success" => "Job succeeded.",
            _ => "Job failed.",
        };
        self.0.push(Step {
            at: job.started,
            job: job.clone().ended("pending", "Job triggered.", None),
            log: None,
        });
        self.0.push(Step {
            at: ended,
            job: job.ended(state, description, Some(ended)),
            log,
        });
    }

    /// A version is merged, tagged at this moment, published and offered to `OperatorHub`.
    fn tag(&mut self, service: &str, version: &str, tagged: Timestamp) {
        let log = format!("[INFO] Successfully tagged {service}-controller with v{version} tag\n");
        self.tagging(service, tagged, "success", log);
        self.tag_jobs(service, version, tagged);
    }

    /// A run of the job that pushes tags.
    fn tagging(&mut self, service: &str, ended: Timestamp, state: &str, log: String) {
        let name = format!("{service}-controller-release-tag");
        let begun = ended - SignedDuration::from_secs(12);
        self.run(job(service, &name, "main", begun), ended, state, Some(log));
    }

    /// What a tag starts besides the update of the umbrella chart; all of it goes well.
    fn tag_jobs(&mut self, service: &str, version: &str, tagged: Timestamp) {
        for name in [
            format!("{service}-post-submit"),
            format!("{service}-controller-olm-bundle-pr"),
        ] {
            let job = job(service, &name, &format!("v{version}"), tagged);
            self.run(job, tagged + 4 * MINUTE, "success", None);
        }
    }

    /// An update of the umbrella chart, which fails while it misses the chart of `missing`.
    fn chart(&mut self, service: &str, version: &str, from: Timestamp, missing: Option<&str>) {
        let job = job(service, "update-ack-chart", &format!("v{version}"), from);
        match missing {
            None => self.run(job, from + 3 * MINUTE, "success", None),
            Some(missing) => {
                let log = format!(
                    "Waiting for {service}-chart v{version}\nError: could not download oci://public.ecr.aws/aws-controllers-k8s/{missing}-chart: not found\nmake: *** [Makefile:12: update] Error 1\n"
                );
                self.run(job, from + 5 * MINUTE, "failure", Some(log));
            }
        }
    }

    /// An update of the umbrella chart that waits for its turn from the tag on, and then goes well.
    fn queued_chart(&mut self, service: &str, version: &str, tagged: Timestamp, ended: Timestamp) {
        let job = job(service, "update-ack-chart", &format!("v{version}"), tagged);
        self.0.push(Step {
            at: tagged,
            job: job.clone().ended("triggered", "", None),
            log: None,
        });
        self.0.push(Step {
            at: ended,
            job: job.ended("success", "Job succeeded.", Some(ended)),
            log: None,
        });
    }

    fn services(&self) -> BTreeSet<String> {
        let repositories = self.0.iter().map(|step| step.job.repo.as_str());
        repositories
            .filter_map(|name| name.strip_suffix("-controller"))
            .map(str::to_owned)
            .collect()
    }
}

fn job(service: &str, name: &str, base_ref: &str, begun: Timestamp) -> Job {
    Job::new(&format!("{service}-controller"), name, base_ref, begun)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The daemon's parts, and all that a story made them say.
struct Told {
    inside: Inside,
}

impl Told {
    /// Plays a story on a clock that begins a minute before it, and lets some time pass after it.
    async fn by(mut story: Story, then: SignedDuration) -> Self {
        story.0.sort_by_key(|step| step.at);
        let begin = story.0.first().unwrap().at - MINUTE;
        let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
        let mut inside = Inside::beginning(RULES, None, begin).await;
        configure(&inside, &bucket, &story.services());
        inside.restart().await;
        for steps in story.0.chunk_by(|one, next| one.at == next.at) {
            inside.until(steps[0].at).await;
            for step in steps {
                let path = format!("{}/build-log.txt", step.job.directory());
                if let Some(log) = &step.log {
                    bucket.put(&path, Object::Bytes(log.clone().into()));
                }
            }
            let jobs: Vec<Job> = steps.iter().map(|step| step.job.clone()).collect();
            inside.accept(&jobs).await;
            inside.step().await;
        }
        inside.pass(then).await;
        assert!(inside.slack.violations().is_empty());
        Self { inside }
    }

    /// When a channel was told what, message by message as people see it.
    fn to(&self, channel: &str) -> Vec<(Timestamp, String)> {
        let messages = self.inside.messages(channel).into_iter();
        messages
            .map(|message| (message.at, preview_text(&message.payload)))
            .collect()
    }

    /// The first lines of these messages, with their time to the minute.
    fn headlines(&self, channel: &str) -> String {
        let told = self.to(channel).into_iter();
        let lines: Vec<String> = told
            .map(|(at, text)| {
                let first = text.lines().next().unwrap().trim_start_matches("┌ ");
                format!("{} {first}", at.strftime("%m-%d %H:%M"))
            })
            .collect();
        lines.join("\n")
    }

    async fn decided(&self, decision: Decision) -> u64 {
        let counts = self.inside.counts().await;
        counts.decisions.get(&decision).copied().unwrap_or_default()
    }
}

fn configure(inside: &Inside, bucket: &BucketStandin, services: &BTreeSet<String>) {
    let folder = inside.home().join("channels");
    fs::create_dir(&folder).unwrap();
    for service in services {
        fs::write(folder.join(service), inside.slack.url(service)).unwrap();
    }
    let more = format!(
        r#"
receivers:
  - name: by-service
    slack: {{ webhook_url_dir: "{}" }}
routes:
  - match: ['service!=""']
    receiver: by-service
    continue: true
  - receiver: platform
artifacts:
  enabled: true
  endpoints: [{{ for: s3, endpoint: "{}", anonymous: true }}]
delivery: {{ rate_per_s: 10000, burst: 10000 }}
"#,
        folder.display(),
        bucket.url()
    );
    fs::write(inside.home().join("config/30-channels.yaml"), more).unwrap();
}
