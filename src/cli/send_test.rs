//! `send-test`: one clearly marked message to one receiver.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use serde_json::json;

use super::{Outcome, UsageError, out};
use crate::{
    config::Config,
    domain::nearest,
    http::Http,
    pipeline::live::Live,
    slack::{Answer, text::inline},
};

/// Whom to write to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A receiver, such as platform, or by-service/s3 for a service's own
    receiver: String,
}

/// Runs the command. Exit code 1 when Slack refused the message.
pub fn run(
    args: &Args,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    let live = Live::build(Config::load(paths, environment)?, environment, None)?;
    let Some(endpoint) = live.endpoints.get(&args.receiver) else {
        let hint = nearest::hint(&args.receiver, live.endpoints.keys().map(String::as_str));
        return Err(UsageError(format!("no receiver is named `{}`{hint}", args.receiver)).into());
    };
    let text = format!(
        "Test message of prow-notifier to receiver {}. Nothing is broken.",
        inline(&args.receiver, 100)
    );
    let payload = json!({
        "text": text,
        "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": format!(":test_tube: *Test.* {text}") } }],
        "unfurl_links": false,
        "unfurl_media": false,
    });
    let http = Http::new()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(endpoint.webhook.post(&http, &payload));
    let refused = match answer {
        Answer::Sent => {
            out::line(&format!("sent to {}", args.receiver));
            return Ok(Outcome::Done);
        }
        Answer::RateLimited { retry_after } => {
            format!("Slack asks to wait {} s", retry_after.as_secs())
        }
        Answer::Retry { reason, .. }
        | Answer::Suspicious { reason }
        | Answer::BadPayload { reason }
        | Answer::Dead { reason }
        | Answer::Refused { reason } => reason,
    };
    out::say(&format!(
        "{} not sent to {}: {}",
        out::styled(out::RED, "error:"),
        args.receiver,
        out::printable(&refused)
    ));
    Ok(Outcome::No)
}
