//! Which open incidents a run may have to do with, beyond those of its own job: a store loads them beforehand.

use crate::domain::{
    incident::IncidentId, observation::Observation, observe::Reading, pipeline::Spot,
    policy::Policy, state::State, verdict::Verdict,
};

impl State {
    /// Incidents beside those of its own job that a run may close; a store loads them before it is observed.
    pub fn concerns(
        &self,
        policy: &Policy,
        run: &Observation,
        reading: &Reading,
    ) -> Vec<IncidentId> {
        let awaited = self.expected_incidents(run).chain(self.masses());
        let Some(spot) = reading.spot(policy) else {
            return awaited.collect();
        };
        let service = reading.class.service.as_deref();
        let mut found: Vec<IncidentId> = self
            .proven(spot, service)
            .chain(awaited)
            .chain(self.dooming(spot, service).into_iter().map(|(_, id)| id))
            .collect();
        if spot.stage.shared && run.is_finished() && reading.judged.verdict == Verdict::Pass {
            found.extend(self.open_at(&spot.stage.name).map(|(id, _)| id));
        }
        if run.is_finished() && reading.judged.verdict.is_bad() {
            found.extend(self.relatives(spot, service));
        }
        found
    }

    /// Open incidents up and down the stream that may be the root of a failure, or may have one in it.
    fn relatives(&self, spot: Spot<'_>, service: Option<&str>) -> Vec<IncidentId> {
        let pipeline = spot.pipeline;
        let upstream = pipeline.upstream(&spot.stage.name).into_iter();
        let above = upstream
            .flat_map(|stage| self.open_at(stage))
            .filter(|(_, owner)| spot.stage.shared || Some(owner.as_str()) == service);
        let downstream = pipeline.downstream(&spot.stage.name).into_iter();
        let below = downstream
            .filter_map(|name| pipeline.stage(name))
            .flat_map(|stage| {
                let open = self.open_at(&stage.name);
                open.filter(move |(_, owner)| stage.shared || Some(owner.as_str()) == service)
            });
        above.chain(below).map(|(id, _)| id).collect()
    }
}
