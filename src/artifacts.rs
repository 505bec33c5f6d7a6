//! Reads what a run left behind from where Prow keeps it, within bounds of time and size. What cannot be read
//! is said in words; whether to ask again is for others to decide.

pub mod breaker;
mod credentials;
mod guard;
mod text;
