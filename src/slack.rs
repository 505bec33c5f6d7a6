//! Slack: rendering, sending, sorting its answers.

pub mod blocks;
pub mod limits;
pub mod preview;
pub mod text;
mod words;

pub use blocks::{Look, render, render_plain};
pub use preview::{builder_url, preview_text};
