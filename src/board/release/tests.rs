//! What the page of a release says.
