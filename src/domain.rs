//! The core: what broke, for whom, and whether to say so. Pure: no I/O, no clock, no async, no randomness.
//! It takes (state, input, now) and returns effects; everything else in the crate is edges.

pub mod backoff;
pub mod cadence;
pub mod classify;
pub mod decision;
pub mod doom;
pub mod duration;
pub mod evidence;
pub mod figures;
pub mod flaky;
pub mod flush;
pub mod fold;
pub mod forget;
pub mod gaps;
pub mod health;
pub mod history;
pub mod hush;
pub mod incident;
pub mod job;
pub mod location;
pub mod mass;
pub mod matcher;
pub mod mute;
pub mod nearest;
pub mod notification;
pub mod observation;
pub mod observe;
pub mod overdue;
pub mod pipeline;
pub mod policy;
pub mod prowjob;
pub mod release;
pub mod replay;
pub mod root;
pub mod route;
#[cfg(test)]
pub(crate) mod samples;
pub mod silence;
mod stall;
pub mod state;
pub mod stats;
mod telling;
pub mod time;
mod timeline;
pub mod trouble;
pub mod verdict;
pub mod watch;
