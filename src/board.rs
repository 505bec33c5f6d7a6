//! What people see, worked out once for pages, API and metrics: read from the store and the configuration, plain
//! data that serializes. Knows neither HTTP nor HTML.

pub mod age;
pub mod config;
pub mod deliveries;
pub mod glyph;
pub mod lists;
pub mod now;
pub mod services;

pub use crate::store::StoreError;
