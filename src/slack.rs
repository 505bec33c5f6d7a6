//! Slack: rendering, sending, sorting its answers.

pub mod limits;
pub mod text;
