//! What broke further upstream explains what breaks behind it: whoever was told of the root is not told of each
//! thing it knocks over, before or after it, unless that outlives the root, or it takes too long.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    evidence::CauseClass,
    fold::{Behind, News},
    incident::IncidentId,
    observe::Case,
    pipeline::{Pipeline, Spot},
    state::State,
    time::after,
    verdict::Verdict,
};

/// Nothing is folded behind a root for longer.
pub const ROOT_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// What a root knocked over has this long to come right after it did.
pub const ROOT_GRACE: SignedDuration = SignedDuration::from_mins(15);

/// What knocked an incident over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its incident.
    pub incident: IncidentId,
    /// Whose it is.
    pub owner: String,
    /// The stage that is broken.
    pub stage: String,
    /// Since when.
    pub since: Timestamp,
}

/// Whether a cause of this kind stands for itself, whatever is broken upstream.
pub(super) fn stands_alone(class: CauseClass) -> bool {
    matches!(
        class,
        CauseClass::Network
            | CauseClass::RateLimit
            | CauseClass::Disk
            | CauseClass::OutOfMemory
            | CauseClass::Timeout
            | CauseClass::Infrastructure
    )
}

impl State {
    /// Notes what knocked an incident over, and what it knocked over itself. Returns whether everybody who would
    /// be told of it at once has been told of its root.
    pub(super) fn find_root(&mut self, case: &Case<'_>, spot: Spot<'_>, id: IncidentId) -> bool {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return false;
        };
        let pipeline = spot.pipeline;
        incident.blocks = pipeline
            .downstream(&spot.stage.name)
            .into_iter()
            .map(str::to_owned)
            .collect();
        self.explain_earlier(pipeline, case, spot, id);
        // What the cluster did to a run has no root among releases.
        if case.judged.verdict == Verdict::Infra {
            return false;
        }
        let Some(root) = self.root_of(pipeline, case, spot) else {
            return false;
        };
        self.fold_behind(id, root, case.now)
    }

    /// The open incident furthest upstream: of the same service, or of any where all share the stage.
    fn root_of(&self, pipeline: &Pipeline, case: &Case<'_>, spot: Spot<'_>) -> Option<IncidentId> {
        let upstream = pipeline.roots_of(&spot.stage.name);
        // What only its own predecessor can have started was not stopped by it.
        let proven = pipeline.proven_by(&spot.stage.name);
        let service = case.class.service.as_deref();
        pipeline
            .stages
            .iter()
            .filter(|stage| upstream.contains(stage.name.as_str()))
            .flat_map(|stage| {
                let is_proven = proven.contains(stage.name.as_str());
                let open = self.open_at(&stage.name);
                open.map(move |(id, owner)| (is_proven, id, owner))
            })
            .filter(|(is_proven, _, owner)| {
                let own = Some(owner.as_str()) == service;
                if own { !is_proven } else { spot.stage.shared }
            })
            .map(|(_, id, owner)| (id, owner))
            .filter(|(id, _)| {
                let incident = self.incidents.get(id);
                incident.is_some_and(|root| root.is_open() && root.is_of_org(case.run.org()))
            })
            .map(|(id, _)| id)
            .next()
    }

    /// Holds back what is owed of an incident to those who were told of its root.
    pub(super) fn fold_behind(&mut self, id: IncidentId, root: IncidentId, now: Timestamp) -> bool {
        let Some(root) = self.incidents.get(&root) else {
            return false;
        };
        let known_to: BTreeSet<String> = root
            .receivers()
            .into_iter()
            .filter(|receiver| !self.is_unheard(root.id, receiver))
            .collect();
        let told = Root {
            incident: root.id,
            owner: root.owner().to_owned(),
            stage: root.first.class.stage.clone().unwrap_or_default(),
            since: root.first.at,
        };
        let Some(incident) = self.incidents.get_mut(&id) else {
            return false;
        };
        let told_id = told.incident;
        incident.root = Some(told);
        self.changed.incidents.insert(id);
        let behind = Behind {
            root: told_id,
            until: after(now, ROOT_LIMIT),
        };
        let (cause, targets) = (incident.cause.clone(), incident.targets.clone());
        let mut all = !targets.is_empty();
        for target in targets.iter().filter(|target| target.digest.is_none()) {
            if !known_to.contains(&target.receiver) {
                all = false;
                continue;
            }
            let key = (cause.clone(), target.receiver.clone());
            if let Some(fold) = self.folds.get_mut(&key) {
                fold.hold_back(id, Some(&behind));
                self.changed.folds.insert(key);
            }
        }
        all
    }

    /// A root that shows up late explains what waits downstream to be told.
    fn explain_earlier(
        &mut self,
        pipeline: &Pipeline,
        case: &Case<'_>,
        spot: Spot<'_>,
        root: IncidentId,
    ) {
        let knocked: Vec<IncidentId> = pipeline
            .downstream(&spot.stage.name)
            .into_iter()
            .filter_map(|name| pipeline.stage(name))
            .filter(|stage| {
                let roots = pipeline.roots_of(&stage.name);
                roots.contains(spot.stage.name.as_str())
            })
            .flat_map(|stage| {
                let is_proof = pipeline
                    .proven_by(&stage.name)
                    .contains(spot.stage.name.as_str());
                let open = self.open_at(&stage.name);
                open.map(move |(id, owner)| (stage.shared, is_proof, id, owner))
            })
            .filter(|(shared, is_proof, _, owner)| {
                let own = Some(owner.as_str()) == case.class.service.as_deref();
                if own { !is_proof } else { *shared }
            })
            .map(|(_, _, id, _)| id)
            .collect();
        for id in knocked {
            let fits = self.incidents.get(&id).is_some_and(|incident| {
                incident.root.is_none()
                    && incident.first.verdict != Verdict::Infra
                    && incident.is_of_org(case.run.org())
            });
            if fits {
                self.fold_behind(id, root, case.now);
            }
        }
    }

    /// A root is gone: what it knocked over and is still broken is told after a grace.
    pub(super) fn release_behind(&mut self, root: IncidentId, now: Timestamp) {
        let until = after(now, ROOT_GRACE);
        for key in &self.owing {
            if let Some(fold) = self.folds.get_mut(key)
                && fold.release(root, until)
            {
                self.changed.folds.insert(key.clone());
            }
        }
    }

    /// Tells what is owed of an incident without regard to its root.
    pub(super) fn unfold(&mut self, id: IncidentId) {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return;
        };
        if incident.root.take().is_none() {
            return;
        }
        self.changed.incidents.insert(id);
        for target in &incident.targets {
            let key = (incident.cause.clone(), target.receiver.clone());
            if let Some(fold) = self.folds.get_mut(&key)
                && fold.waiting.iter().any(|owed| owed.news == News::Opened)
            {
                fold.hold_back(id, None);
                self.changed.folds.insert(key);
            }
        }
    }
}
