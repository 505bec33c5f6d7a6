//! Reads the reason for a failure out of what a run left behind. Pure, as the core is: bytes in, one
//! [`Finding`](crate::domain::evidence::Finding) out; who fetches the bytes, and from where, is not known here.

pub mod clean;
mod clone;
mod clue;
pub mod excerpt;
mod join;
mod junit;
mod pod;
pub mod redact;
pub mod rules;
pub mod signature;
mod structured;

pub use join::{Examination, examine, explain};

/// What a run left behind, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub struct Remains {
    /// `status.description` of the ProwJob.
    pub description: String,
    /// `finished.json`.
    pub finished: Option<Vec<u8>>,
    /// `podinfo.json`.
    pub podinfo: Option<Vec<u8>>,
    /// `clone-records.json`.
    pub clone_records: Option<Vec<u8>>,
    /// JUnit reports, by their path under the run's folder.
    pub junit: Vec<(String, Vec<u8>)>,
    /// Logs, those of the containers in the order of the pod.
    pub logs: Vec<LogText>,
}

/// A log, or the part of it that was read; unpacked, and otherwise as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogText {
    /// Name of the file within the run's folder, such as `build-log.txt`.
    pub file: String,
    /// Its bytes, as written: any encoding, any line length.
    pub bytes: Vec<u8>,
    /// Number of the line in which `bytes` begin, from 1; `None` when what comes before was not counted.
    pub first_line: Option<u64>,
    /// Whether `bytes` begin at the start of a line.
    pub starts_line: bool,
}

impl Remains {
    /// Whether nothing at all was read.
    pub fn is_empty(&self) -> bool {
        self.finished.is_none()
            && self.podinfo.is_none()
            && self.clone_records.is_none()
            && self.junit.is_empty()
            && self.logs.is_empty()
    }
}
