//! Where a run's logs are, and reading them from there.
