//! Why something could not be read, in words, from the many layers of an object store's error.

use std::{error::Error, iter};

use reqwest::StatusCode;

use super::{
    guard::{Answered, Refusal},
    text::SinkError,
};
use crate::http::WrongAddress;

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// In words, with what to do; names neither key nor credentials.
    pub(super) why: String,
    /// Whether it is the endpoint's fault, and not this file's.
    pub(super) of_endpoint: bool,
}

impl Failure {
    pub(super) fn of_file(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            of_endpoint: false,
        }
    }

    pub(super) fn of_endpoint(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            of_endpoint: true,
        }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::of_file(error.to_string())
    }
}

/// An error and what caused it, from the outside in.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// Sorts an error; `None` when the object is not there.
pub(super) fn sort(error: &object_store::Error) -> Option<Failure> {
    let chain = || causes(error);
    if let Some(answer) = chain().find_map(|error| error.downcast_ref::<Answered>()) {
        return answered(answer);
    }
    match error {
        object_store::Error::NotFound { .. } => return None,
        object_store::Error::InvalidPath { .. } => {
            return Some(Failure::of_file("its name is no valid key"));
        }
        _ => {}
    }
    if let Some(refusal) = chain().find_map(|error| error.downcast_ref::<Refusal>()) {
        return Some(Failure::of_endpoint(refusal.to_string()));
    }
    if chain().any(<dyn Error>::is::<WrongAddress>) {
        return Some(Failure::of_endpoint(
            "its host resolves to no public address and no entry of artifacts.endpoints names it",
        ));
    }
    let is_timeout = |error: &(dyn Error + 'static)| {
        error
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_timeout)
    };
    if chain().any(is_timeout) {
        return Some(Failure::of_endpoint(
            "no complete answer in time (artifacts.request_timeout)",
        ));
    }
    let is_connect = |error: &(dyn Error + 'static)| {
        error
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_connect)
    };
    let innermost = chain().last().map(ToString::to_string).unwrap_or_default();
    let innermost: String = innermost
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    Some(if chain().any(is_connect) {
        Failure::of_endpoint(format!(
            "no connection ({innermost}); check the address, DNS and the network policy"
        ))
    } else if chain().any(<dyn Error>::is::<reqwest::Error>) {
        Failure::of_endpoint(format!("the answer broke off ({innermost})"))
    } else {
        Failure::of_endpoint(format!("the answer makes no sense ({innermost})"))
    })
}

/// What an answer that is no object says; `None` means that the object is not there.
fn answered(answer: &Answered) -> Option<Failure> {
    let code = answer.code.as_str();
    let why = match (answer.status, code) {
        (StatusCode::NOT_FOUND, "NoSuchBucket") => {
            "the bucket does not exist; check its name in the ProwJob or in artifacts.defaults"
                .to_owned()
        }
        (StatusCode::NOT_FOUND, _) => return None,
        (status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), code) => {
            format!("it answered {status}; {}", denied(code))
        }
        (StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed") => WRONG_REGION.to_owned(),
        (status, _) if status.is_redirection() => WRONG_REGION.to_owned(),
        (status, _) => format!("it answered {status}"),
    };
    Some(Failure::of_endpoint(why))
}

const WRONG_REGION: &str =
    "it sent elsewhere, as S3 does for a wrong region; set region in artifacts.endpoints";

fn denied(code: &str) -> &'static str {
    match code {
        "SignatureDoesNotMatch" => "the secret key is wrong",
        "InvalidAccessKeyId" => "it does not know the access key",
        "ExpiredToken" => "the session token has expired",
        "RequestTimeTooSkewed" => "this machine's clock is wrong",
        _ => "may these credentials read objects and list the bucket?",
    }
}
