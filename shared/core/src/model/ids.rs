//! The one registry of ids: a tenant can never be passed where a message is meant.
//!
//! All are UUIDs; ours are version 7, made here and never by the database (a sequence would pin a pooled connection).

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; later ones sort after earlier ones.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        /// To whoever calls us one UUID is like another.
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Uuid::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                Uuid::json_schema(generator)
            }
        }
    )+};
}

ids! {
    /// An operator. The first argument of whatever touches its data.
    TenantId,
    /// A row of `channel_accounts`.
    AccountId,
    ContactId,
    ConversationId,
    MessageId,
    /// A row of `message_media`.
    MediaId,
    /// A row of `contact_merges`.
    MergeId,
    /// A row of `contact_reviews`.
    ReviewId,
    /// A row of `trigger_runs`.
    RunId,
    /// A row of `notification_templates`.
    TemplateId,
    /// An agent, as Hasura's session names them.
    UserId,
    /// The pillars' ids, soft links for us.
    TripId,
    PassengerProfileId,
}

impl TenantId {
    /// The platform itself: default rules and templates, payloads that belong to nobody. No operator has this id.
    pub const PLATFORM: Self = Self(Uuid::nil());
}

/// Whose something is: an account and its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    pub tenant_id: TenantId,
    pub account_id: AccountId,
}
