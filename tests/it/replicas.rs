//! Several replicas of the real program on a real PostgreSQL.

mod cluster;
mod faults;
mod proxy;
