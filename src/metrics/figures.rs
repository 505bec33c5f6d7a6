//! Figures of the last 30 days as gauges: those of the fleet, and a few of each service, of which there are at most
//! [`MAX_SERVICES`].

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::family::Family,
    registry::{Registry, Unit},
};

use super::FloatGauge;

/// Services that have gauges of their own.
pub const MAX_SERVICES: usize = 200;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceLabel {
    /// Its name.
    pub service: String,
}

/// Where observations went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FateLabel {
    /// `accepted`, `decided`, `waiting` or `set-aside`.
    pub fate: &'static str,
}

macro_rules! gauges {
    ($($field:ident, $name:literal, $unit:expr, $help:literal;)+) => {
        /// Gauges of the fleet. `NaN` where there is nothing to work it out from.
        #[derive(Debug, Default)]
        pub struct Figures {
            $(#[doc = $help] pub $field: FloatGauge,)+
            /// Releases of a service that succeeded, among those finished.
            pub service_success: Family<ServiceLabel, FloatGauge>,
            /// Releases of a service that succeeded at the first try, among those finished.
            pub service_first_try: Family<ServiceLabel, FloatGauge>,
            /// How long a release of a service takes: median.
            pub service_lead: Family<ServiceLabel, FloatGauge>,
            /// Since the last release of a service that was through.
            pub service_last_good_age: Family<ServiceLabel, FloatGauge>,
            /// Observations of all times: accepted = decided + waiting + set aside.
            pub stored_observations: Family<FateLabel, FloatGauge>,
        }

        impl Figures {
            fn register_fleet(&self, registry: &mut Registry) {
                $(match $unit {
                    Some(unit) => registry.register_with_unit($name, $help, unit, self.$field.clone()),
                    None => registry.register($name, $help, self.$field.clone()),
                })+
            }
        }
    };
}

const SECONDS: Option<Unit> = Some(Unit::Seconds);
const RATIOS: Option<Unit> = Some(Unit::Ratios);
const NONE: Option<Unit> = None;

gauges! {
    success, "release_success", RATIOS, "Releases of 30 days that succeeded in time, among those finished";
    first_try, "release_first_try", RATIOS, "Releases of 30 days that succeeded without a second run or a hand, among those finished";
    finished, "releases_finished", NONE, "Releases of 30 days that succeeded or failed";
    in_flight, "releases_in_flight", NONE, "Releases that still have time";
    lead_p50, "release_lead_time_median", SECONDS, "From the begin of a release of 30 days to its end: median";
    lead_p90, "release_lead_time_p90", SECONDS, "From the begin of a release of 30 days to its end: 90 % took no longer";
    detection_p95, "detection_latency_p95", SECONDS, "From a break of 30 days to when it was seen: 95 % took no longer";
    mttd, "time_to_detect_median", SECONDS, "From a break of 30 days to its message: median";
    mtta, "time_to_acknowledge_median", SECONDS, "From a message of 30 days to somebody taking it on: median";
    mttr, "time_to_recover_median", SECONDS, "From a break of 30 days to its recovery: median with open incidents as censored";
    incidents, "incidents", NONE, "Incidents of 30 days";
    open_at_least, "open_incident_longest", SECONDS, "How long the oldest open incident of 30 days has been open";
    interventions, "manual_interventions", NONE, "Reruns, stopped runs and stages done by hand in releases of 30 days";
    retry_tax, "retry_tax", RATIOS, "Run time of releases of 30 days that went into second and later runs";
    soft_failures, "soft_failures", NONE, "Green runs of 30 days that did not do their work";
    noise, "messages_per_incident", NONE, "Messages of 30 days for each incident";
    infra, "infra_failures", RATIOS, "Bad runs of 30 days that the cluster or Prow failed";
}

impl Figures {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_fleet(registry);
        registry.register_with_unit(
            "service_release_success",
            "Releases of a service of 30 days that succeeded in time, among those finished",
            Unit::Ratios,
            self.service_success.clone(),
        );
        registry.register_with_unit(
            "service_release_first_try",
            "Releases of a service of 30 days that succeeded without a second run or a hand, among those finished",
            Unit::Ratios,
            self.service_first_try.clone(),
        );
        registry.register_with_unit(
            "service_release_lead_time_median",
            "From the begin of a release of a service of 30 days to its end: median",
            Unit::Seconds,
            self.service_lead.clone(),
        );
        registry.register_with_unit(
            "service_last_good_release_age",
            "Since the last release of a service in 30 days that was through",
            Unit::Seconds,
            self.service_last_good_age.clone(),
        );
        registry.register(
            "stored_observations",
            "Observations of all times by fate; those accepted are the sum of the others",
            self.stored_observations.clone(),
        );
    }
}
