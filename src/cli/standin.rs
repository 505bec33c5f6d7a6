//! `standin`: the demo's stand-ins for Prow and Slack alone, so that a deployment can be tried from end to end without
//! either.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::task::TaskTracker;

use super::{Outcome, UsageError, out};
use crate::standin::{
    bucket::BucketStandin,
    control::{Standins, router},
    prow::DeckStandin,
    slack::{Options, SlackStandIn},
};

/// Which stand-ins, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Be a deck at this address and port
    #[arg(long, value_name = "ADDRESS")]
    deck: Option<SocketAddr>,
    /// Be a bucket (GCS) at this address and port
    #[arg(long, value_name = "ADDRESS")]
    bucket: Option<SocketAddr>,
    /// Be Slack at this address and port; any path below /services/ is a webhook
    #[arg(long, value_name = "ADDRESS")]
    slack: Option<SocketAddr>,
    /// A mention that Slack knows, such as `<!subteam^S0123ABCD>`; a message with any other is refused
    #[arg(long, value_name = "MENTION", requires = "slack")]
    mention: Vec<String>,
    /// Where they are told what to show, and tell what they were sent: POST /deck/jobs, PUT /bucket/..., GET /slack,
    /// POST /slack/force/HOOK
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    control: SocketAddr,
}

/// Runs the command until SIGTERM or Ctrl-C.
pub fn run(args: &Args) -> Result<Outcome> {
    if args.deck.is_none() && args.bucket.is_none() && args.slack.is_none() {
        let what = "nothing to stand in for: give --deck, --bucket or --slack with an address";
        return Err(UsageError(what.to_owned()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(args))?;
    Ok(Outcome::Done)
}

async fn serve(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let standins = Arc::new(start(args).await?);
    let listener = listen("control", args.control).await?;
    let app = axum::serve(listener, router(standins)).with_graceful_shutdown(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    });
    app.await.context("the stand-ins ended")
}

async fn start(args: &Args) -> Result<Standins> {
    let tasks = TaskTracker::new();
    let mut standins = Standins::default();
    let failed = |what: &str, address: SocketAddr| format!("cannot listen on {address} for {what}");
    if let Some(address) = args.deck {
        let deck = DeckStandin::listen(address, &tasks).await;
        let deck = deck.with_context(|| failed("--deck", address))?;
        out::line(&format!("deck at {}", deck.url()));
        standins.deck = Some(deck);
    }
    if let Some(address) = args.bucket {
        let bucket = BucketStandin::listen(address, &tasks).await;
        let bucket = bucket.with_context(|| failed("--bucket", address))?;
        out::line(&format!("bucket at {}", bucket.url()));
        standins.bucket = Some(bucket);
    }
    if let Some(address) = args.slack {
        let options = Options {
            allowed_mentions: args.mention.clone(),
            ..Options::default()
        };
        let slack = SlackStandIn::listen(address, options).await;
        let slack = slack.with_context(|| failed("--slack", address))?;
        out::line(&format!("slack at {}", slack.url("HOOK")));
        standins.slack = Some(slack);
    }
    Ok(standins)
}

async fn listen(what: &str, address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for --{what}"))?;
    out::line(&format!("{what} at http://{}", listener.local_addr()?));
    Ok(listener)
}
