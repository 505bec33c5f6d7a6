//! Tests through the outer surfaces: the core's public functions, the store, the real binary over HTTP.

mod core_laws;
