//! Every setting there is: its key, its form, its default, its meaning. Nothing is read here.

use super::form::Form;

/// One setting: its key, how its text is read, its default and what it means.
#[derive(Debug)]
pub struct Setting {
    /// Dotted key, such as `server.listen`.
    pub key: &'static str,
    /// How its text is read.
    pub form: Form,
    /// Its default; `None` means unset.
    pub default: Option<&'static str>,
    /// Its meaning, one sentence.
    pub doc: &'static str,
}

macro_rules! settings {
    ($(($key:literal, $form:ident, $default:expr, $doc:literal)),* $(,)?) => {
        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$(Setting { key: $key, form: Form::$form, default: $default, doc: $doc }),*];
    };
}

settings![
    (
        "external_url",
        Text,
        None,
        "Address under which people reach this daemon, for links in messages."
    ),
    (
        "store.url",
        Text,
        Some("sqlite:///var/lib/prow-notifier/state.db"),
        "Where state is kept: sqlite:// and a path, or postgres://user@host/database?sslmode=verify-full, which several replicas may share."
    ),
    (
        "store.password_file",
        Text,
        None,
        "File with the password for PostgreSQL, read for every connection."
    ),
    (
        "store.retention",
        Duration,
        Some("400d"),
        "Finished runs and sent messages older than this are deleted. At least watch.max_age: what is forgotten and still listed would be told again."
    ),
    (
        "server.listen",
        Text,
        Some("0.0.0.0:8080"),
        "Address and port to listen on."
    ),
    (
        "server.max_body",
        Size,
        Some("4MiB"),
        "Larger request bodies are refused with 413 before anything else is looked at."
    ),
    (
        "server.rate_per_s",
        Number,
        Some("1000"),
        "Requests a second that one address may send on average; more get 429."
    ),
    (
        "server.burst",
        Number,
        Some("5000"),
        "Requests that one address may send at once."
    ),
    (
        "server.access.reads",
        Text,
        Some("open"),
        "Who may read pages and the API: open (everybody), token (who has a token), proxy (whom a trusted proxy names, or who has a token). To act one must always be known."
    ),
    (
        "server.access.tokens_file",
        Text,
        None,
        "File of tokens, each with the name of who has it: `name: token` a line. Without it nobody can log in."
    ),
    (
        "server.access.proxy.header",
        Text,
        Some("X-Forwarded-User"),
        "Header in which a trusted proxy names the person."
    ),
    (
        "server.access.proxy.from",
        List,
        None,
        "Addresses or ranges of proxies that are trusted, such as 10.0.0.0/8; the header counts from nowhere else."
    ),
    (
        "server.access.metrics",
        Flag,
        Some("false"),
        "Whether /metrics and /readyz ask for the same as server.access.reads; Prometheus and the kubelet must then show a token."
    ),
    (
        "sources.webhook.hmac_file",
        Text,
        None,
        "Prow's HMAC token file (one token, or a map of org or org/repo to tokens). Without it webhooks are refused."
    ),
    (
        "sources.pubsub.audience",
        Text,
        None,
        "Audience that the tokens of a Pub/Sub push subscription name, as set on it. Without it Pub/Sub messages are refused."
    ),
    (
        "sources.pubsub.service_account",
        Text,
        None,
        "E-mail address of the service account that the push subscription authenticates as; needed with sources.pubsub.audience."
    ),
    (
        "sources.pubsub.keys_url",
        Text,
        Some("https://www.googleapis.com/oauth2/v3/certs"),
        "Where the public keys of Google's tokens are; another one only for an emulator."
    ),
    (
        "sources.deck.url",
        Text,
        None,
        "Address of deck. Without it nothing is polled."
    ),
    (
        "sources.deck.interval",
        Duration,
        Some("30s"),
        "How often deck is asked; it renews its own list every 30 s."
    ),
    (
        "sources.deck.timeout",
        Duration,
        Some("60s"),
        "How long one answer of deck may take as a whole."
    ),
    (
        "sources.watch.namespace",
        Text,
        None,
        "Namespace of the ProwJobs, which are then listed and watched through the API of Kubernetes. Without it nothing is watched."
    ),
    (
        "sources.watch.kubeconfig",
        Text,
        None,
        "Kubeconfig whose current context leads to the API server. Without it the pod's own service account does."
    ),
    (
        "sources.watch.timeout",
        Duration,
        Some("30s"),
        "How long one answer of the API server may take: a page of the list, or the beginning of a watch."
    ),
    (
        "sources.watch.renew",
        Duration,
        Some("4m"),
        "A watch is asked for anew after so long, from where it ended; a connection that died without a word is noticed soon after that."
    ),
    (
        "backfill.enabled",
        Flag,
        Some("true"),
        "Whether finished runs are looked for in the buckets of artifacts.defaults when no source told anything for longer than backfill.after."
    ),
    (
        "backfill.after",
        Duration,
        Some("47h"),
        "So long no source must have told anything; best a little less than Prow keeps ProwJobs (sinker's max_prowjob_age). At least 5m, and longer than it takes to ask deck or to renew the watch."
    ),
    (
        "backfill.timeout",
        Duration,
        Some("1h"),
        "How long may be tried to find what was missed, failures of a bucket included."
    ),
    (
        "backfill.max_requests",
        Number,
        Some("20000"),
        "Requests to buckets that finding it may take: one for each job, and one for each run since a day before the gap."
    ),
    (
        "backfill.concurrency",
        Number,
        Some("8"),
        "Jobs that are looked through at the same time."
    ),
    (
        "board.release_sla",
        Duration,
        Some("24h"),
        "A release that is not through so long after its first stage began counts as failed in figures."
    ),
    (
        "silences.max",
        Duration,
        Some("7d"),
        "How long a silence may last."
    ),
    (
        "watch.types",
        List,
        Some("postsubmit,periodic"),
        "Job types that are watched."
    ),
    (
        "watch.max_age",
        Duration,
        Some("48h"),
        "Runs that finished longer ago are stored, never notified."
    ),
    (
        "watch.deck_failures",
        Number,
        Some("5"),
        "Polls of deck in a row that fail, or bring an old list, and attempts to watch that fail, before that is told."
    ),
    (
        "watch.pile_up",
        Number,
        Some("50"),
        "So many runs that wait for a pod for watch.pile_up_age, while hardly any end, are told."
    ),
    (
        "watch.pile_up_age",
        Duration,
        Some("1h"),
        "How long a run may wait for a pod before it counts for watch.pile_up."
    ),
    (
        "watch.silent_after",
        Duration,
        Some("6h"),
        "No webhook, or no word from Kubernetes, for so long, while another source shows runs that ended, is told."
    ),
    (
        "dedup.window",
        Duration,
        Some("1h"),
        "First window in which repeated failures of one incident are counted, not told. 0: each is told."
    ),
    (
        "dedup.group_wait",
        Duration,
        Some("5s"),
        "How long a message may wait for siblings still to come."
    ),
    (
        "mass.share",
        Number,
        Some("50"),
        "Per cent of the jobs that ended within mass.window; when more of them failed, in more than one stage, that is one shared cause."
    ),
    (
        "mass.jobs",
        Number,
        Some("10"),
        "So many jobs must have ended before mass.share says anything."
    ),
    (
        "mass.services",
        Number,
        Some("3"),
        "Services that one trouble of the infrastructure, or one error, strikes in more than one stage before it is one shared cause."
    ),
    (
        "mass.window",
        Duration,
        Some("30m"),
        "How far back mass.share and mass.services look; at most 6h."
    ),
    (
        "abort.per_hour",
        Number,
        Some("20"),
        "Runs that are suggested to be stopped within an hour, because a stage that they need has failed."
    ),
    (
        "abort.namespace",
        Text,
        None,
        "Namespace of the ProwJobs, for the command that stops a run. By default that of sources.watch; without either kubectl looks where it looks by itself."
    ),
    (
        "delivery.allowed_hosts",
        List,
        Some("hooks.slack.com"),
        "Hosts that webhook URLs may name besides hooks.slack.com; plain http only to a loopback address with port."
    ),
    (
        "delivery.rate_per_s",
        Number,
        Some("1"),
        "Messages a second to one webhook."
    ),
    (
        "delivery.burst",
        Number,
        Some("5"),
        "Messages to one webhook at once after a pause."
    ),
    (
        "delivery.retry.base",
        Duration,
        Some("1s"),
        "First pause after a failed attempt, doubled each time; at least 10ms."
    ),
    (
        "delivery.retry.cap",
        Duration,
        Some("5m"),
        "Longest pause between attempts; at least 100ms."
    ),
    (
        "delivery.retry.max_age",
        Duration,
        Some("24h"),
        "A message that could not be sent for this long becomes a dead letter."
    ),
    (
        "artifacts.enabled",
        Flag,
        Some("true"),
        "Whether logs are read: why a run broke, and whether a green one did its work."
    ),
    (
        "artifacts.request_timeout",
        Duration,
        Some("10s"),
        "How long one request for a log may take, its answer included."
    ),
    (
        "artifacts.timeout",
        Duration,
        Some("30s"),
        "How long reading all that one run left behind may take."
    ),
    (
        "artifacts.max_read",
        Size,
        Some("10MiB"),
        "Logs up to this size are read whole, of larger ones the end."
    ),
    (
        "artifacts.tail",
        Size,
        Some("256KiB"),
        "How much is read of the end of a larger log."
    ),
    (
        "artifacts.max_counted",
        Size,
        Some("64MiB"),
        "Lines of larger logs are counted up to this size, so that they have their numbers; above it they have none."
    ),
    (
        "artifacts.max_unpacked",
        Size,
        Some("256MiB"),
        "A packed log that unpacks to more is not read."
    ),
    (
        "artifacts.max_file",
        Size,
        Some("1MiB"),
        "Larger finished.json, podinfo.json, clone-records.json and JUnit reports are not read."
    ),
    (
        "artifacts.max_reports",
        Number,
        Some("20"),
        "JUnit reports that are read of one run."
    ),
    (
        "artifacts.concurrency",
        Number,
        Some("4"),
        "Runs whose logs are read at the same time."
    ),
    (
        "artifacts.retry.base",
        Duration,
        Some("2s"),
        "First pause before a log that could not be read is asked for again, doubled each time; at least 10ms. Logs often come a second after the run's end; below 5s such a reason still reaches its first message."
    ),
    (
        "artifacts.retry.cap",
        Duration,
        Some("10m"),
        "Longest pause between attempts to read a log; at least 100ms."
    ),
    (
        "artifacts.retry.max_age",
        Duration,
        Some("24h"),
        "A log that could not be read for this long is given up."
    ),
    (
        "artifacts.breaker.failures",
        Number,
        Some("5"),
        "After so many failures in a row a bucket is left alone for a while."
    ),
    (
        "artifacts.folders",
        List,
        None,
        "Folders of this machine that logs may be read from; none by default."
    ),
    (
        "artifacts.namespaces.folder",
        Text,
        None,
        "Folder with one folder per namespace, each holding that namespace's artifact-repositories ConfigMap. Off by default."
    ),
    (
        "artifacts.namespaces.api",
        Flag,
        Some("false"),
        "Whether each namespace's artifact-repositories ConfigMap is read through the API of Kubernetes, for runs in its own cluster. Secrets that it names are not read. A folder wins over it."
    ),
    (
        "artifacts.namespaces.lifetime",
        Duration,
        Some("5m"),
        "How long such a ConfigMap is remembered before it is read anew."
    ),
    (
        "artifacts.namespaces.key",
        Text,
        None,
        "Key of the ConfigMap to use; by default the one that it names, else its only one."
    ),
    (
        "default_receiver",
        Text,
        None,
        "Receiver of runs that no route takes."
    ),
    (
        "fallback_receiver",
        Text,
        None,
        "Receiver of messages whose own receiver is dead."
    ),
];

/// The list that adds to its default instead of standing for it: who needs a relay needs Slack as well.
pub(super) const EXTENDED: &str = "delivery.allowed_hosts";

/// Lists that stand among settings.
pub(crate) const LISTS: [&str; 2] = ["artifacts.defaults", "artifacts.endpoints"];

/// Keys directly below a section: `sources` → `webhook`, `deck`.
pub fn children(section: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let settings = SETTINGS.iter().map(|setting| setting.key);
    for key in settings.chain(LISTS) {
        let rest = if section.is_empty() {
            Some(key)
        } else {
            key.strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !found.iter().any(|known| known == name)
        {
            found.push(name.to_owned());
        }
    }
    found
}
