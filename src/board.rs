//! What people see, worked out once for pages, API and metrics: read from the store and the configuration, plain
//! data that serializes. Knows neither HTTP nor HTML.

pub mod age;
pub mod glyph;
pub mod now;
pub mod services;
pub mod silences;

pub use crate::store::StoreError;
