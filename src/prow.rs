//! Prow's formats at the border: ProwJobs, deck, webhooks. Turns them into the domain's words and must not
//! decide anything.

pub mod api;
pub mod deck;
pub mod folder;
pub mod parse;
pub mod pubsub;
pub mod signature;
pub mod stage;
pub mod status;
pub mod storage;
