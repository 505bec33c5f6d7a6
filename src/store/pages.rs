//! What pages and the API ask for. Every question goes through an index or a rollup, so that its cost does not
//! grow with history, and is answered by a connection that decides nothing.

pub mod deliveries;
pub mod errors;
pub mod failing;
pub mod figures;
pub mod jobs;
pub mod lists;
pub mod releases;
pub mod standing;
