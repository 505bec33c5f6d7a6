//! What people see, worked out once for pages, API and metrics: read from the store and the configuration, plain
//! data that serializes. Knows neither HTTP nor HTML.

pub mod age;
pub mod config;
pub mod deliveries;
pub mod error;
pub mod fanout;
pub mod glyph;
pub mod graph;
pub mod job;
pub mod lists;
pub mod now;
pub mod release;
pub mod run;
pub mod service;
pub mod services;
pub mod silences;
pub mod trends;
pub mod wall;

pub use crate::store::StoreError;
