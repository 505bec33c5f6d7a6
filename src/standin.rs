//! Stand-ins for Slack and Prow, for the demo and the tests.

pub mod prow;
pub mod slack;
