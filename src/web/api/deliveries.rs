//! What was sent and what was not, sending it again, and who did such things.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ask::{Ask, Paging, page},
    problem::Problem,
};
use crate::{
    board::{
        deliveries::{self, DeliveryItem, Filter, ReceiverItem},
        lists::{self, Listed},
    },
    store::pages::deliveries::Standing,
    web::{Web, access::Person},
};

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichDeliveries {
    /// Rows of a page, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only those that are `pending`, `sent`, `dead` or `diverted`.
    state: Option<String>,
    /// Only those to this receiver.
    receiver: Option<String>,
}

/// What was put back into its queue.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// How many messages are sent again.
    replayed: u64,
}

/// What somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActionItem {
    /// Its number.
    id: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who.
    who: String,
    /// How that is known: `token`, `session`, `proxy` or `store`.
    by: String,
    /// What.
    action: String,
    /// To what.
    subject: String,
    /// How it stood before.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// How it stood then.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
}

/// All receivers that ever had something to be sent.
#[utoipa::path(get, path = "/api/v1/receivers", tag = "deliveries", responses(
    (status = 200, body = Vec<ReceiverItem>),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn receivers(
    State(web): State<Arc<Web>>,
) -> Result<Json<Vec<ReceiverItem>>, Problem> {
    Ok(Json(deliveries::receivers(&web.shared).await?))
}

/// Deliveries with every attempt and its answer, the newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(WhichDeliveries), responses(
    (status = 200, body = Listed<DeliveryItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn deliveries(
    State(web): State<Arc<Web>>,
    Ask(which): Ask<WhichDeliveries>,
) -> Result<Json<Listed<DeliveryItem>>, Problem> {
    let page = page(which.limit, which.after)?;
    if let Some(word) = &which.state
        && Standing::parse(word).is_none()
    {
        let words = Standing::ALL.map(Standing::as_str).join(", ");
        let detail = format!("`{word}` is none of {words}");
        return Err(Problem::parameter("state", detail));
    }
    let filter = Filter {
        state: which.state,
        receiver: which.receiver,
    };
    Ok(Json(deliveries::list(&web.shared, &page, &filter).await?))
}

/// Deliveries that were given up and that nobody got, the newest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "deliveries", params(Paging), responses(
    (status = 200, body = Listed<DeliveryItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn dead_letters(
    State(web): State<Arc<Web>>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<DeliveryItem>>, Problem> {
    let filter = Filter {
        state: Some(Standing::Dead.as_str().to_owned()),
        receiver: None,
    };
    let listed = deliveries::list(&web.shared, &paging.page()?, &filter).await?;
    Ok(Json(listed))
}

/// One delivery.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = DeliveryItem),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn delivery(
    State(web): State<Arc<Web>>,
    Path(id): Path<String>,
) -> Result<Json<DeliveryItem>, Problem> {
    let found = deliveries::one(&web.shared, number(&id)?).await?;
    found.map(Json).ok_or_else(|| Problem::unknown("delivery"))
}

/// Sends a dead letter again.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/replay", tag = "deliveries",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = Replayed),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn replay(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Json<Replayed>, Problem> {
    let id = number(&id)?;
    if web.replay(id, &person).await? {
        Ok(Json(Replayed { replayed: 1 }))
    } else {
        Err(Problem::unknown("dead letter"))
    }
}

/// Sends all dead letters of a receiver again, in their order.
#[utoipa::path(post, path = "/api/v1/receivers/{receiver}/replay", tag = "deliveries",
    params(("receiver" = String, Path, description = "Its name, its slash written as %2F")),
    responses(
        (status = 200, body = Replayed),
        (status = 401, body = Problem, content_type = "application/problem+json"),
        (status = 403, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn replay_all(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Path(receiver): Path<String>,
) -> Result<Json<Replayed>, Problem> {
    let replayed = web.replay_all(&receiver, &person).await?;
    Ok(Json(Replayed { replayed }))
}

/// What people did, the newest first.
#[utoipa::path(get, path = "/api/v1/actions", tag = "deliveries", params(Paging), responses(
    (status = 200, body = Listed<ActionItem>),
    (status = 400, body = Problem, content_type = "application/problem+json"),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn actions(
    State(web): State<Arc<Web>>,
    Ask(paging): Ask<Paging>,
) -> Result<Json<Listed<ActionItem>>, Problem> {
    let listed = lists::actions(&web.shared, &paging.page()?).await?;
    Ok(Json(Listed {
        data: listed.data,
        next: listed.next,
        items: listed
            .items
            .into_iter()
            .map(|row| ActionItem {
                id: row.id,
                at: row.at,
                who: row.actor.who,
                by: row.actor.by,
                action: row.action,
                subject: row.subject,
                before: row.before,
                after: row.after,
            })
            .collect(),
    }))
}

fn number(text: &str) -> Result<i64, Problem> {
    let detail = || format!("`{text}` is not a number");
    text.parse().map_err(|_| Problem::parameter("id", detail()))
}
