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
/// Names that the last line has room for.
const NAMES: usize = 12;

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
    /// Services of these, each once, the most urgent first; as many as fit.
    pub rest: Vec<String>,
}

/// Reads what the wall shows.
pub async fn load(shared: &Shared) -> Result<Wall, StoreError> {
    Ok(of(now::load(shared).await?))
}

fn of(now: Now) -> Wall {
    let urgent = |one: &Open| matches!(one.state, State::Blocked | State::Stalled);
    let all = now.open.iter().filter(|one| urgent(one)).count();
    let (mut blocked, mut rest) = (Vec::new(), Vec::new());
    for one in now.open.into_iter().filter(urgent) {
        if one.root.is_none() && blocked.len() < LINES {
            blocked.push(one);
        } else if rest.len() < NAMES && !rest.contains(&one.service) {
            rest.push(one.service);
        }
    }
    Wall {
        data: now.data,
        counters: now.counters,
        more: all - blocked.len(),
        blocked,
        rest,
    }
}
