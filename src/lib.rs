//! prow-notifier: tells the right people, once and with the reason, that a release broke in Prow.
//!
//! Modules depend downwards only: `domain` below everything, then `evidence` and `yaml`, then `clock`, `cluster`,
//! `http`, `metrics`, `priority`, `telemetry` and `config`, then `store`, `prow` and `slack`, then `artifacts`,
//! `pipeline`, `board`, `web`, `app` and `cli`. `standin` holds the fakes of Slack and Prow that the demo and the
//! tests share.

pub mod app;
pub mod artifacts;
pub mod board;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod evidence;
pub mod http;
pub mod metrics;
pub mod pipeline;
pub mod priority;
pub mod prow;
pub mod slack;
pub mod standin;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod yaml;
