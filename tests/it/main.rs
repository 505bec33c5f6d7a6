//! Tests through the outer surfaces: the core's public functions, the store, the real binary over HTTP.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod context;
mod core_laws;
mod crash;
mod deck_polling;
mod delivery;
mod github_status;
mod hostile;
mod limits;
mod preview;
mod program;
mod shipped_configs;
mod webhook;
