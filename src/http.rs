//! The HTTP client: timeouts, no redirects, address checks.
