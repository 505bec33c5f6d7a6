//! Slack: rendering, sending, sorting its answers.
