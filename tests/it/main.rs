//! Tests through the outer surfaces: the core's public functions, the store, the real binary over HTTP.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod architecture;
mod artifacts;
mod backtest;
mod browser;
mod check_online;
mod clocks;
mod config_errors;
mod config_show;
mod context;
mod core_laws;
mod corpus;
mod crash;
mod deck_polling;
mod delivery;
mod demo;
mod docs;
mod doom;
mod evidence;
mod exec;
mod explain;
mod forgetting;
mod github_status;
mod hostile;
mod init;
mod inside;
mod limits;
mod mass;
mod preview;
mod program;
mod pulse;
mod reasons;
mod redaction;
mod reload;
mod roots;
mod shipped_configs;
mod storm;
mod storylines;
mod thresholds;
mod watch;
mod webhook;
