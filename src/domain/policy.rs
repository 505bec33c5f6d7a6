//! Everything that decides, in one immutable value: rules, routes, and the times that bound them.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    classify::Rule, doom::StopPolicy, mass::MassPolicy, mute::Window, pipeline::Pipeline,
    prowjob::JobType, route::Routing,
};

/// What the domain obeys. Built from the configuration, swapped whole.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Job types that are watched; others are ignored.
    pub types: Vec<JobType>,
    /// Runs that finished longer ago are stored, never told.
    pub max_age: Duration,
    /// First dedup window of an incident; each next one is twice as long, up to [`WINDOW_CAP`].
    pub window: Duration,
    /// How long a message may wait for siblings.
    pub group_wait: Duration,
    /// Whether somebody reads why runs broke, so that it is worth waiting for.
    pub reads_evidence: bool,
    /// Classification, first match wins.
    pub rules: Vec<Rule>,
    /// Whether stages that do not start are told: not where only some of the runs are seen.
    pub keeps_deadlines: bool,
    /// How stages follow each other.
    pub pipelines: Vec<Pipeline>,
    /// From when on failures of many kinds have one cause.
    pub mass: MassPolicy,
    /// Stopping of runs that cannot succeed any more.
    pub stops: StopPolicy,
    /// Routes and receivers.
    pub routing: Routing,
    /// Times in which some things are not told.
    pub mutes: Vec<Window>,
    /// When the daemon first started; `None` where there is no such moment (preview, backtest).
    pub first_start: Option<Timestamp>,
}

/// No dedup window is longer.
pub const WINDOW_CAP: Duration = Duration::from_secs(24 * 3600);
/// This many owners failing in one stage within [`SHARED_WITHIN`] share a cause.
pub const SHARED_FROM: usize = 3;
/// See [`SHARED_FROM`].
pub const SHARED_WITHIN: Duration = Duration::from_secs(600);
/// A receiver hears of one shared cause at most this often, and each time half as often, down to
/// [`SHARED_GAP_CAP`].
pub const SHARED_GAP: Duration = Duration::from_secs(600);
/// See [`SHARED_GAP`].
pub const SHARED_GAP_CAP: Duration = Duration::from_secs(3600);
/// Runs of the first deck list that finished longer than this before the first start are summed up.
pub const FIRST_START_GRACE: Duration = Duration::from_secs(600);

impl Policy {
    /// Whether runs that are lost may have to be stopped.
    pub fn orders_stops(&self) -> bool {
        self.pipelines.iter().any(Pipeline::orders_stops)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            types: vec![JobType::Postsubmit, JobType::Periodic],
            max_age: Duration::from_secs(48 * 3600),
            window: Duration::from_secs(3600),
            group_wait: Duration::from_secs(5),
            reads_evidence: false,
            rules: Vec::new(),
            keeps_deadlines: true,
            pipelines: Vec::new(),
            mass: MassPolicy::default(),
            stops: StopPolicy::default(),
            routing: Routing::default(),
            mutes: Vec::new(),
            first_start: None,
        }
    }
}
