//! Slack: rendering, sending, sorting its answers.

pub mod blocks;
mod chain;
pub mod client;
mod doomed;
mod fields;
mod headline;
pub mod hosts;
pub mod limits;
pub mod preview;
mod reason;
pub mod text;
mod words;

pub use blocks::{Look, render, render_plain};
pub use client::{Answer, Webhook, WebhookError};
pub use hosts::{AllowedHostError, AllowedHosts};
pub use preview::{builder_url, preview_text};
