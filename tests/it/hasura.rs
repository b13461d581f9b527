//! The Hasura metadata and documents, without an engine: a strict schema with mutants, the migrated catalogue, GraphQL's own
//! rules for each role, and the actions that exist. What a server makes of them is asked in `graphql`.

mod actions;
pub mod catalogue;
pub mod documents;
mod lint;
pub mod metadata;
mod schema_of_role;
mod stream;
mod strict;
