//! Reads what a run left behind from where Prow keeps it, within bounds of time and size. What cannot be read
//! is said in words; whether to ask again is for others to decide.

pub mod breaker;
mod bucket;
pub mod configmaps;
mod credentials;
mod failure;
mod fetch;
mod guard;
pub mod namespaces;
mod reader;
mod text;

use jiff::Timestamp;

use crate::{domain::observation::Observation, evidence::Remains};

pub use reader::{Page, Reader};

/// What came of reading what a run left behind.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What could be read, also when something else could not.
    pub remains: Remains,
    /// The run's folder, for people; `None` when it has none.
    pub location: Option<String>,
    /// The run's page; `None` when there is no deck that could show it.
    pub log_page: Option<String>,
    /// What of the configuration could not be used for it, although something else could.
    pub warning: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How reading what a run left behind ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Something that may say why the run broke was read.
    Read,
    /// There is nothing to read, and there never will be; says why.
    Nothing(String),
    /// It could not be read now; worth asking again.
    Unreadable {
        /// Why, for people; names no secret.
        why: String,
        /// Whose fault it is: a bucket or deck, as in [`EndpointHealth`].
        endpoint: String,
    },
}

/// How an endpoint does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHealth {
    /// `s3://bucket`, `gs://bucket`, `deck host` or `folders of this machine`.
    pub endpoint: String,
    /// How it does.
    pub state: breaker::State,
    /// Since when it works, or since when it fails.
    pub since: Timestamp,
    /// Why the last read failed; empty when it did not.
    pub why: String,
}

impl Gathered {
    fn new(outcome: Outcome) -> Self {
        Self {
            remains: Remains::default(),
            location: None,
            log_page: None,
            warning: None,
            outcome,
        }
    }

    fn nothing(run: &Observation, why: String) -> Self {
        let mut gathered = Self::new(Outcome::Nothing(why));
        gathered.remains.description.clone_from(&run.description);
        gathered
    }
}
