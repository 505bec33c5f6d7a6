//! The log of a run's pod, which deck has while the pod lives.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};

use super::{DeckError, DeckProblem, DeckUrl, check, get, is_html};
use crate::domain::observation::Observation;

/// Asks deck for the log of a container, which without a name is the only one; `None` when it has none (any
/// more). The answer is the whole log, of any length; `timeout` covers reading it.
pub async fn log(
    http: &Client,
    deck: &DeckUrl,
    run: &Observation,
    container: Option<&str>,
    timeout: Duration,
) -> Result<Option<Response>, DeckError> {
    let Some(build_id) = &run.build_id else {
        return Ok(None);
    };
    let mut query = vec![("job", run.job.as_str()), ("id", build_id)];
    query.extend(container.map(|name| ("container", name)));
    let read = async {
        let response = get(http, deck, "log", &query, timeout).await?;
        if response.status() == StatusCode::NOT_FOUND && !is_html(&response) {
            return Ok(None);
        }
        check(&response)?;
        Ok(Some(response))
    };
    read.await.map_err(|problem: DeckProblem| DeckError {
        what: "a log",
        deck: Box::new(deck.clone()),
        problem,
    })
}
