//! Every metric, once. Names and labels follow Prometheus' conventions; all labels have few values.

pub mod figures;

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// Where an observation came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabel {
    /// `webhook`, `deck`, `watch`, `github`, `pubsub`, `bucket`, or `restart` for what a restart found in the inbox.
    pub source: &'static str,
}

/// What became of an observation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabel {
    /// A decision's word.
    pub decision: &'static str,
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EventLabel {
    /// An event's word.
    pub event: &'static str,
}

/// Why something did not go well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// One of a few words.
    pub reason: &'static str,
}

/// An incoming request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabel {
    /// Path of the route, not of the request.
    pub route: &'static str,
    /// HTTP status.
    pub code: u16,
}

/// What came of reading a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReadLabel {
    /// `found`, `nothing`, `unreadable` or, for a run that this version cannot make out, `set-aside`.
    pub result: &'static str,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `success`, `failure`, or another word for what came of it.
    pub result: &'static str,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// All metrics of the process. A field's comment is its help text.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Observations accepted, by source.
    pub observations: Family<SourceLabel, Counter>,
    /// Observations decided, by decision.
    pub decisions: Family<DecisionLabel, Counter>,
    /// Stored observations that could not be read and were set aside.
    pub poisoned: Counter,
    /// Notifications decided, by event.
    pub notifications: Family<EventLabel, Counter>,
    /// Notifications delivered.
    pub delivered: Counter,
    /// Delivery attempts that failed, by reason.
    pub notifications_failed: Family<ReasonLabel, Counter>,
    /// Messages sent in the plain layout because the full one was refused.
    pub fallback_layouts: Counter,
    /// Messages given up.
    pub dead_letters: Counter,
    /// From the acceptance of an event to the begin of the first Slack request about it.
    pub notification_latency: Histogram,
    /// Requests to this daemon, by route and status.
    pub requests: Family<RequestLabel, Counter>,
    /// Whether what was missed is being looked for in buckets.
    pub backfill_active: Gauge,
    /// Requests to buckets for what was missed.
    pub backfill_requests: Counter,
    /// Missed runs that were found in buckets.
    pub backfill_runs: Counter,
    /// Polls of deck, by result.
    pub deck_polls: Family<ResultLabel, Counter>,
    /// ProwJobs in deck's last list.
    pub deck_list_items: Gauge,
    /// When deck last gave its whole list, in seconds since the epoch; 0 before the first time.
    pub deck_last_success: FloatGauge,
    /// Orders to stop a run, by what came of them, and attempts that failed.
    pub stops: Family<ResultLabel, Counter>,
    /// Watches of ProwJobs that ended, by result.
    pub watches: Family<ResultLabel, Counter>,
    /// ProwJobs in the last list that Kubernetes gave.
    pub watch_list_items: Gauge,
    /// When Kubernetes last told anything of ProwJobs, in seconds since the epoch; 0 before the first time.
    pub watch_last_heard: FloatGauge,
    /// When an observation was last accepted, in seconds since the epoch; 0 before the first.
    pub last_observation: FloatGauge,
    /// Observations accepted and not yet decided.
    pub inbox_depth: Gauge,
    /// Messages not yet delivered.
    pub outbox_pending: Gauge,
    /// Open incidents.
    pub open_incidents: Gauge,
    /// Receivers that refuse messages for good.
    pub dead_receivers: Gauge,
    /// Whether this replica leads: it decides, polls deck and reads logs.
    pub leader: Gauge,
    /// Whether the last reload of the configuration succeeded.
    pub config_last_reload_successful: Gauge,
    /// Reloads of the configuration, by result.
    pub config_reloads: Family<ResultLabel, Counter>,
    /// Attempts to read why a run broke, by result.
    pub artifact_reads: Family<ReadLabel, Counter>,
    /// Reasons whose signature is shared because their class had too many new ones that day.
    pub signatures_overflowed: Counter,
    /// Places of logs that cannot be read now.
    pub artifact_endpoints_failing: Gauge,
    /// Times the store could not be used, by reason.
    pub store_failures: Family<ReasonLabel, Counter>,
    /// Figures of releases and incidents.
    pub figures: figures::Figures,
}

impl Metrics {
    /// Registers every metric.
    #[expect(
        clippy::too_many_lines,
        reason = "one registration after the other, nothing to find twice"
    )]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("prow_notifier");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of this program", build);
        let latency = Histogram::new([
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
        ]);
        let mut metrics = Self {
            registry: Registry::default(),
            observations: Family::default(),
            decisions: Family::default(),
            poisoned: Counter::default(),
            notifications: Family::default(),
            delivered: Counter::default(),
            notifications_failed: Family::default(),
            fallback_layouts: Counter::default(),
            dead_letters: Counter::default(),
            notification_latency: latency,
            requests: Family::default(),
            backfill_active: Gauge::default(),
            backfill_requests: Counter::default(),
            backfill_runs: Counter::default(),
            deck_polls: Family::default(),
            deck_list_items: Gauge::default(),
            deck_last_success: FloatGauge::default(),
            stops: Family::default(),
            watches: Family::default(),
            watch_list_items: Gauge::default(),
            watch_last_heard: FloatGauge::default(),
            last_observation: FloatGauge::default(),
            inbox_depth: Gauge::default(),
            outbox_pending: Gauge::default(),
            open_incidents: Gauge::default(),
            dead_receivers: Gauge::default(),
            leader: Gauge::default(),
            config_last_reload_successful: Gauge::default(),
            config_reloads: Family::default(),
            artifact_reads: Family::default(),
            signatures_overflowed: Counter::default(),
            artifact_endpoints_failing: Gauge::default(),
            store_failures: Family::default(),
            figures: figures::Figures::default(),
        };
        let m = &metrics;
        registry.register(
            "observations",
            "Observations accepted, by source",
            m.observations.clone(),
        );
        registry.register(
            "decisions",
            "Observations decided, by decision",
            m.decisions.clone(),
        );
        registry.register(
            "poisoned_observations",
            "Stored observations that could not be read and were set aside",
            m.poisoned.clone(),
        );
        registry.register(
            "notifications",
            "Notifications decided, by event",
            m.notifications.clone(),
        );
        registry.register(
            "notifications_delivered",
            "Notifications delivered",
            m.delivered.clone(),
        );
        registry.register(
            "notifications_failed",
            "Delivery attempts that failed, by reason",
            m.notifications_failed.clone(),
        );
        registry.register(
            "fallback_layouts",
            "Messages sent in the plain layout because the full one was refused",
            m.fallback_layouts.clone(),
        );
        registry.register("dead_letters", "Messages given up", m.dead_letters.clone());
        registry.register_with_unit(
            "notification_latency",
            "From the acceptance of an event to the begin of the first Slack request about it",
            Unit::Seconds,
            m.notification_latency.clone(),
        );
        registry.register(
            "http_requests",
            "Requests to this daemon, by route and status",
            m.requests.clone(),
        );
        registry.register(
            "backfill_active",
            "Whether what was missed is being looked for in buckets",
            m.backfill_active.clone(),
        );
        registry.register(
            "backfill_requests",
            "Requests to buckets for what was missed",
            m.backfill_requests.clone(),
        );
        registry.register(
            "backfill_runs",
            "Missed runs that were found in buckets",
            m.backfill_runs.clone(),
        );
        registry.register(
            "deck_polls",
            "Polls of deck, by result",
            m.deck_polls.clone(),
        );
        registry.register(
            "deck_list_items",
            "ProwJobs in deck's last list",
            m.deck_list_items.clone(),
        );
        registry.register_with_unit(
            "deck_last_success_timestamp",
            "When deck last gave its whole list; 0 before the first time",
            Unit::Seconds,
            m.deck_last_success.clone(),
        );
        registry.register(
            "stops",
            "Orders to stop a run, by what came of them, and attempts that failed",
            m.stops.clone(),
        );
        registry.register(
            "watches",
            "Watches of ProwJobs that ended, by result",
            m.watches.clone(),
        );
        registry.register(
            "watch_list_items",
            "ProwJobs in the last list that Kubernetes gave",
            m.watch_list_items.clone(),
        );
        registry.register_with_unit(
            "watch_last_heard_timestamp",
            "When Kubernetes last told anything of ProwJobs; 0 before the first time",
            Unit::Seconds,
            m.watch_last_heard.clone(),
        );
        registry.register_with_unit(
            "last_observation_timestamp",
            "When an observation was last accepted; 0 before the first",
            Unit::Seconds,
            m.last_observation.clone(),
        );
        registry.register(
            "inbox_depth",
            "Observations accepted and not yet decided",
            m.inbox_depth.clone(),
        );
        registry.register(
            "outbox_pending",
            "Messages not yet delivered",
            m.outbox_pending.clone(),
        );
        registry.register("open_incidents", "Open incidents", m.open_incidents.clone());
        registry.register(
            "dead_receivers",
            "Receivers that refuse messages for good",
            m.dead_receivers.clone(),
        );
        registry.register(
            "leader",
            "Whether this replica leads: it decides, polls deck and reads logs",
            m.leader.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the last reload of the configuration succeeded",
            m.config_last_reload_successful.clone(),
        );
        registry.register(
            "config_reloads",
            "Reloads of the configuration, by result",
            m.config_reloads.clone(),
        );
        registry.register(
            "store_failures",
            "Times the store could not be used, by reason",
            m.store_failures.clone(),
        );
        registry.register(
            "artifact_reads",
            "Attempts to read a log, by result",
            m.artifact_reads.clone(),
        );
        registry.register(
            "signatures_overflowed",
            "Reasons that share a signature because their class had too many new ones that day",
            m.signatures_overflowed.clone(),
        );
        registry.register(
            "artifact_endpoints_failing",
            "Places of logs that cannot be read now",
            m.artifact_endpoints_failing.clone(),
        );
        m.figures.register(&mut registry);
        metrics.registry = registry;
        metrics
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// Counts an answered request.
    pub fn count_request(&self, route: &'static str, code: u16) {
        self.requests
            .get_or_create(&RequestLabel { route, code })
            .inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
