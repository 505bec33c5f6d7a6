//! Who looks at a page, from where, and with which copy of it at hand.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use serde::Serialize;

use crate::web::{Web, access::Person};

/// A look at a page.
#[derive(Debug, Clone, Default)]
pub(in crate::web) struct Visit {
    /// What the browser has of the page already.
    pub(super) known: Option<HeaderValue>,
    /// What the page says of it.
    pub(super) shown: Shown,
}

/// What a page says of who looks at it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Shown {
    /// Who it is; `None` for somebody who is not known.
    person: Option<String>,
    /// Whether there are tokens to log in with.
    may_log_in: bool,
    /// The address of the page, to come back to.
    here: String,
}

impl FromRequestParts<Arc<Web>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Infallible> {
        let here = parts.uri.path_and_query();
        Ok(Self {
            known: parts.headers.get(header::IF_NONE_MATCH).cloned(),
            shown: Shown {
                person: parts
                    .extensions
                    .get::<Person>()
                    .map(|person| person.name.clone()),
                may_log_in: !web.shared.live().access.is_empty(),
                here: here.map_or("/", |here| here.as_str()).to_owned(),
            },
        })
    }
}
