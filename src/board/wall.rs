//! What is read from four metres away: how many services stand how, and which of them are blocked.

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    age::DataAge,
    glyph::State,
    now::{self, Counter, Now, Open},
};
use crate::{pipeline::Shared, store::StoreError};

/// Lines that a screen has room for.
const LINES: usize = 8;

/// What the wall shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Wall {
    /// How old it is.
    pub data: DataAge,
    /// Services by how they stand.
    pub counters: Vec<Counter>,
    /// Blocked and stalled releases, the most urgent first; what these knocked over is left out.
    pub blocked: Vec<Open>,
    /// How many more there are, those knocked over included.
    pub more: usize,
}

/// Reads what the wall shows.
pub async fn load(shared: &Shared) -> Result<Wall, StoreError> {
    Ok(of(now::load(shared).await?))
}

fn of(now: Now) -> Wall {
    let urgent = |one: &Open| matches!(one.state, State::Blocked | State::Stalled);
    let all = now.open.iter().filter(|one| urgent(one)).count();
    let blocked: Vec<Open> = now
        .open
        .into_iter()
        .filter(|one| urgent(one) && one.root.is_none())
        .take(LINES)
        .collect();
    Wall {
        data: now.data,
        counters: now.counters,
        more: all - blocked.len(),
        blocked,
    }
}
