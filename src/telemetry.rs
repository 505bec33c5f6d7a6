//! Logs: text on a terminal, JSON lines otherwise, always on stderr because stdout is for data.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging at `level` unless `RUST_LOG` says otherwise. Called once, by the program.
pub fn start(level: &str) {
    let filter = EnvFilter::builder()
        .with_default_directive(level.parse().unwrap_or_default())
        .from_env_lossy();
    let registry = tracing_subscriber::registry().with(filter);
    if stderr().is_terminal() {
        registry
            .with(fmt::layer().with_writer(stderr).with_target(false))
            .init();
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(stderr))
            .init();
    }
}
