//! The figures of the last 30 days for `/metrics`: the same numbers as on the page.

use super::{Conservation, Figures, Part, ServiceFigures, back, by_service};
use crate::{
    domain::{figures, fold::to_signed},
    metrics::{
        Metrics,
        figures::{FateLabel, MAX_SERVICES, ServiceLabel},
    },
    pipeline::Shared,
    store::StoreError,
};

/// Days over which they are.
const DAYS: u16 = 30;

/// Works them out anew and sets the gauges.
pub async fn refresh(shared: &Shared) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let found = shared.store.ingredients(back(now, DAYS), None).await?;
    let sla = to_signed(shared.live().snapshot.config.settings.release_sla);
    let outcomes = figures::outcomes(&found.releases, now, sla);
    let releases: Vec<_> = found.releases.iter().zip(outcomes).collect();
    let whole = Part::whole(&releases, &found);
    set_fleet(&shared.metrics, &Figures::of(whole, now));
    set_services(&shared.metrics, by_service(&releases, now));
    Ok(())
}

/// Sets the gauges that show that nothing is lost.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn set_conservation(metrics: &Metrics, of: &Conservation) {
    for (fate, count) in [
        ("accepted", of.accepted),
        ("decided", of.decided),
        ("waiting", of.waiting),
        ("set-aside", of.set_aside),
    ] {
        let gauge = metrics
            .figures
            .stored_observations
            .get_or_create(&FateLabel { fate });
        gauge.set(count as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn set_fleet(metrics: &Metrics, of: &Figures) {
    let gauges = &metrics.figures;
    let seconds = |value: Option<i64>| value.map_or(f64::NAN, |value| value as f64);
    let ratio = |percent: Option<f64>| percent.map_or(f64::NAN, |percent| percent / 100.0);
    gauges.success.set(ratio(of.success.percent));
    gauges.first_try.set(ratio(of.first_try.percent));
    gauges.finished.set(of.success.n as f64);
    gauges.in_flight.set(of.in_flight as f64);
    gauges.lead_p50.set(seconds(of.lead_p50_s));
    gauges.lead_p90.set(seconds(of.lead_p90_s));
    gauges.detection_p95.set(seconds(of.detection_p95_s));
    gauges.mttd.set(seconds(of.mttd_p50_s));
    gauges.mtta.set(seconds(of.mtta_p50_s));
    gauges.mttr.set(seconds(of.mttr_p50_s));
    gauges.incidents.set(of.incidents as f64);
    gauges
        .open_at_least
        .set(seconds(of.open_at_least_s.or(Some(0))));
    gauges.interventions.set(of.interventions as f64);
    gauges.retry_tax.set(ratio(of.retry_tax_percent));
    gauges.soft_failures.set(of.soft_failed as f64);
    gauges
        .noise
        .set(of.messages_per_incident.unwrap_or(f64::NAN));
    gauges.infra.set(ratio(of.infra.percent));
}

/// What is no longer there is no longer told.
#[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^52")]
fn set_services(metrics: &Metrics, mut services: Vec<ServiceFigures>) {
    let gauges = &metrics.figures;
    for family in [
        &gauges.service_success,
        &gauges.service_first_try,
        &gauges.service_lead,
        &gauges.service_last_good_age,
    ] {
        family.clear();
    }
    services.sort_by(|a, b| a.service.cmp(&b.service));
    for one in services.into_iter().take(MAX_SERVICES) {
        let label = ServiceLabel {
            service: one.service,
        };
        for (family, value) in [
            (
                &gauges.service_success,
                one.success.percent.map(|percent| percent / 100.0),
            ),
            (
                &gauges.service_first_try,
                one.first_try.percent.map(|percent| percent / 100.0),
            ),
            (
                &gauges.service_lead,
                one.lead_p50_s.map(|seconds| seconds as f64),
            ),
            (
                &gauges.service_last_good_age,
                one.last_good_age_s.map(|seconds| seconds as f64),
            ),
        ] {
            if let Some(value) = value {
                family.get_or_create(&label).set(value);
            }
        }
    }
}
