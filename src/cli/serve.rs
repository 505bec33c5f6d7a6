//! `serve`: the daemon, until it is told to stop.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Outcome;
use crate::{app::App, clock::Clock, pipeline::Origin};

/// Runs the command.
pub fn run(paths: Vec<PathBuf>, environment: BTreeMap<String, String>) -> Result<Outcome> {
    take_small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let app = App::build(Origin { paths, environment }, Clock::System).await?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let asked = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            stop.cancel();
        };
        tokio::select! {
            ended = app.run(stop.clone()) => ended,
            () = async { asked.await; std::future::pending().await } => Ok(()),
        }
    })?;
    Ok(Outcome::Done)
}

/// Where the kernel gives pages of 2 MiB unasked, an idle daemon would take up twice the memory: the allocator sets
/// room aside.
fn take_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        debug!(
            error = &error as &dyn std::error::Error,
            "Cannot decline huge pages of memory"
        );
    }
}
