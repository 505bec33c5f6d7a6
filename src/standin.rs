//! Stand-ins for Slack, Prow, Kubernetes and a bucket, for the demo and the tests.

pub mod bucket;
pub mod control;
pub mod kube;
pub mod prow;
pub mod slack;
