//! What a function behind Hasura stands on: the door, the database and the queues.

use super::config::Settings;
use super::hasura::Door;
use super::{Aws, Database, Queues};

/// Made once per sandbox.
#[derive(Debug)]
pub struct Backend {
    pub door: Door,
    pub database: Database,
    pub queues: Queues,
}

impl Backend {
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Self {
        Self {
            door: Door::new(settings.secret("HASURA_SECRETS", aws)),
            database: Database::new(settings.secret("DATABASE_URL", aws)),
            queues: Queues::from_settings(settings, aws),
        }
    }
}
