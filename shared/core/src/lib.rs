//! comms-core: the service itself, without a provider's JSON and without a Lambda.
//!
//! Rooms, from the top. `automation` (a domain event becomes message rows), `dispatch` (rows reach a provider) and
//! `inbound` (what providers tell us becomes rows) and `media` (their files are fetched) stand on `inbox` (threads and agents), `delivery` (status log and its
//! projection), `outbox` (the one way to queue a message), `quarantine` (what has no place), `contacts` (who), `channels`
//! (accounts and their credentials) and `event_log` (Hasura's own, kept small); those stand on `model` and `platform`. No arrow runs up and no two rooms import each other.

pub mod automation;
pub mod channels;
pub mod contacts;
pub mod delivery;
pub mod dispatch;
pub mod event_log;
pub mod inbound;
pub mod inbox;
pub mod media;
pub mod model;
pub mod outbox;
pub mod platform;
pub mod quarantine;
