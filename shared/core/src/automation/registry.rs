//! The trigger registry: what may start a message, as data.
//!
//! Rules and templates for a trigger are rows (`migrations/0008_platform_defaults.sql`); here stands what code must know:
//! which Hasura trigger fires it, when it really is that event, and who hears of it.

/// One kind of domain event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// The name that rules, templates and runs carry.
    pub event: &'static str,
    /// The name of the Hasura event trigger.
    pub hasura_name: &'static str,
    /// The row's status that makes it this event.
    pub becomes: &'static str,
    /// As in `notification_rules.audience`.
    pub audience: &'static str,
}

const REGISTRY: &[Trigger] = &[Trigger {
    event: "TRIP_DELAYED",
    hasura_name: "trip_delayed",
    becomes: "DELAYED",
    audience: "TRIP_PASSENGERS",
}];

/// The trigger behind a Hasura event trigger's name.
#[must_use]
pub fn by_hasura_name(name: &str) -> Option<&'static Trigger> {
    REGISTRY.iter().find(|trigger| trigger.hasura_name == name)
}

/// The names of all Hasura event triggers that are answered.
#[must_use]
pub fn hasura_names() -> Vec<&'static str> {
    REGISTRY.iter().map(|trigger| trigger.hasura_name).collect()
}
