//! What was sent, what waits, what was refused: receivers, their queues, and every attempt with its answer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    age::DataAge,
    glyph::State,
    lists::{ListError, Listed, Page},
    trends::Conservation,
};
use crate::{
    domain::notification::Notification,
    pipeline::Shared,
    store::{
        Attempt, StoreError,
        pages::{
            deliveries::{DeliveryRow, ReceiverRow, Standing, WhichDeliveries},
            lists::Placed,
        },
    },
};

/// Dead letters that the page lists; more are counted with their receivers.
const DEAD: usize = 50;

/// What the page shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Deliveries {
    /// How old it is.
    pub data: DataAge,
    /// Those in trouble first, then by name.
    pub receivers: Vec<ReceiverItem>,
    /// The newest dead letters.
    pub dead: Vec<DeliveryItem>,
    /// How many there are.
    pub dead_total: u64,
    /// Deliveries, the newest first.
    pub recent: Vec<DeliveryItem>,
    /// Where the next page of them begins.
    pub next: Option<String>,
    /// What they are filtered by.
    pub filter: Filter,
    /// Whether all that was accepted is accounted for.
    pub conservation: Conservation,
}

/// What deliveries are filtered by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Filter {
    /// `pending`, `sent`, `dead` or `diverted`.
    pub state: Option<String>,
    /// Concrete receiver.
    pub receiver: Option<String>,
}

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiverItem {
    /// Concrete receiver, such as `platform` or `by-service/s3`.
    pub name: String,
    /// `good`, `waits` (nothing is sent for now) or `dead`.
    pub standing: String,
    /// The same, for its icon.
    pub state: State,
    /// Why it is dead.
    pub dead: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is sent to it before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub blocked_until: Option<Timestamp>,
    /// Deliveries that wait.
    pub pending: u64,
    /// Since when the oldest of them waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_at: Option<Timestamp>,
    /// Deliveries that were given up.
    pub dead_letters: u64,
    /// Deliveries of which another receiver got a copy.
    pub diverted: u64,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryItem {
    /// Its number.
    pub id: i64,
    /// Concrete receiver.
    pub receiver: String,
    /// `pending`, `sent`, `dead` or `diverted`.
    pub state: String,
    /// The id that the message shows.
    pub message: String,
    /// What it says: `opened`, `recovered` and so on.
    pub event: String,
    /// `critical` or `non-critical`.
    pub severity: String,
    /// What it is about, in words.
    pub about: String,
    /// The run to look at.
    pub run: Option<String>,
    /// Since when it waits or waited.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it is or was to be sent.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// The receiver that it was meant for, if another one.
    pub instead_of: Option<String>,
    /// Every attempt and Slack's answer, in order.
    pub attempts: Vec<Attempt>,
}

/// Reads what the page shows.
pub async fn load(shared: &Shared, page: &Page, filter: Filter) -> Result<Deliveries, ListError> {
    let mut receivers = receivers(shared).await?;
    // In order of name already, which the sort keeps.
    receivers.sort_by_key(|one| (one.state, one.dead_letters == 0, one.pending == 0));
    let dead = Filter {
        state: Some(Standing::Dead.as_str().to_owned()),
        receiver: None,
    };
    let first = Page {
        after: None,
        limit: DEAD,
    };
    let dead = list(shared, &first, &dead).await?.items;
    let recent = list(shared, page, &filter).await?;
    Ok(Deliveries {
        data: DataAge::of(shared),
        dead_total: receivers.iter().map(|one| one.dead_letters).sum(),
        receivers,
        dead,
        recent: recent.items,
        next: recent.next,
        filter,
        conservation: Conservation::of(&shared.store.counts().await?),
    })
}

/// Deliveries, the newest first. A state that is none finds nothing.
pub async fn list(
    shared: &Shared,
    page: &Page,
    filter: &Filter,
) -> Result<Listed<DeliveryItem>, ListError> {
    let before = page.after.as_deref().map(str::parse);
    let which = WhichDeliveries {
        standing: filter.state.as_deref().and_then(Standing::parse),
        receiver: filter.receiver.clone(),
        before: before.transpose().map_err(|_| ListError::After)?,
        limit: page.limit + 1,
    };
    let found = shared.store.deliveries(which).await?;
    let placed = found
        .into_iter()
        .map(|row| Placed { place: row.id, row })
        .collect();
    Ok(page.listed(shared, placed, ToString::to_string, DeliveryItem::of))
}

/// One delivery.
pub async fn one(shared: &Shared, id: i64) -> Result<Option<DeliveryItem>, StoreError> {
    Ok(shared.store.delivery(id).await?.map(DeliveryItem::of))
}

/// All receivers that ever had something to be sent, by name.
pub async fn receivers(shared: &Shared) -> Result<Vec<ReceiverItem>, StoreError> {
    let now = shared.clock.now();
    let found = shared.store.receivers().await?.into_iter();
    Ok(found.map(|row| ReceiverItem::of(row, now)).collect())
}

impl ReceiverItem {
    fn of(row: ReceiverRow, now: Timestamp) -> Self {
        let blocked_until = row.health.blocked_until.filter(|until| *until > now);
        let (standing, state) = if row.health.dead.is_some() {
            ("dead", State::Failing)
        } else if blocked_until.is_some() {
            ("waits", State::Stalled)
        } else {
            ("good", State::Healthy)
        };
        Self {
            name: row.name,
            standing: standing.to_owned(),
            state,
            dead: row.health.dead,
            failures: row.health.failures,
            blocked_until,
            pending: row.pending,
            oldest_at: row.oldest_at,
            dead_letters: row.dead,
            diverted: row.diverted,
        }
    }
}

impl DeliveryItem {
    /// Of a row of the store.
    pub fn of(row: DeliveryRow) -> Self {
        let said = row.notification;
        Self {
            id: row.id,
            state: row.standing.as_str().to_owned(),
            about: about(&said),
            run: said.items.first().map(|item| item.run.0.clone()),
            message: said.id,
            event: said.event.as_str().to_owned(),
            severity: said.severity.as_str().to_owned(),
            receiver: said.receiver,
            created_at: row.created_at,
            due_at: row.due_at,
            instead_of: said.diverted.map(|way| way.from),
            attempts: row.attempts,
        }
    }
}

/// `s3 v1.2.3 publish and 2 more`.
fn about(said: &Notification) -> String {
    let Some(first) = said.items.first() else {
        return String::new();
    };
    let stage = first.class.stage.as_deref().unwrap_or(&first.job);
    let parts = [first.class.owner(), &first.base_ref, stage];
    let words: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    match said.total.saturating_sub(1) {
        0 => words.join(" "),
        more => format!("{} and {more} more", words.join(" ")),
    }
}
