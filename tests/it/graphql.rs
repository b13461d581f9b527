//! The metadata and the documents on a running server: a Hasura-compatible stand-in, not Hasura.
//!
//! `cargo xtask test standin` installs it (once) and runs these; `cargo test` alone shows them as ignored. The stand-in has the
//! engine's names, permissions, session variables and errors. It has no root-field switches and no streams (both are checked
//! against the metadata: `hasura`), and no subscriptions for roles of the metadata: a subscription is asked as the query that it
//! repeats, and runs as itself against policies of the database that are made of the same filters (`live`).

mod as_sql;
mod convert;
mod documents;
mod live;
mod masks;
mod plant;
mod roles;
mod server;
mod socket;
mod visibility;
