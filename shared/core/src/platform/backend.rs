//! What a function behind Hasura stands on: the door, the database and the queues.

use super::config::{ConfigError, Settings};
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
    /// # Errors
    /// Naming every setting that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let backend = Self {
            door: Door::new(settings.secret("HASURA_SECRETS", &aws)),
            database: Database::new(settings.secret("DATABASE_URL", &aws)),
            queues: Queues::from_settings(&mut settings, &aws),
        };
        settings.done().map(|()| backend)
    }
}
