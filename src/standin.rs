//! Stand-ins for Slack, Prow and a bucket, for the demo and the tests.

pub mod bucket;
pub mod control;
pub mod prow;
pub mod slack;
