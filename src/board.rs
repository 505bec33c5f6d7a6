//! What people see, worked out once for pages, API and metrics: read from the store and the configuration, plain
//! data that serializes. Knows neither HTTP nor HTML.

pub mod age;
pub mod error;
pub mod glyph;
pub mod job;
pub mod now;
pub mod run;
pub mod services;
pub mod trends;
pub mod fanout;
pub mod graph;
pub mod release;
pub mod service;
pub mod wall;

pub use crate::store::StoreError;
