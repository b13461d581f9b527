//! What somebody is known by, and what is known of one person at one moment.

use crate::model::{PassengerProfileId, TenantId};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

/// What the database has as the scope of every alias: whatever its kind, a value means one thing within a tenant.
pub(super) const SCOPE: &str = "";

/// What is known of one person at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub tenant: TenantId,
    /// Strongest evidence first.
    pub aliases: Vec<Alias>,
    /// What the same person had before, by the provider's word.
    pub formerly: Vec<Alias>,
    /// Of `formerly`: what they gave up, and somebody else may have next.
    pub given_up: Vec<Alias>,
    /// Of `aliases`: the numbers that they have by the provider's news, and nobody else any more.
    pub gained: Vec<Alias>,
    /// What they say is theirs, and nobody else says: a question to people where it is somebody's, and nothing more.
    pub claimed: Vec<Alias>,
    /// By the provider's clock. `None` for what others tell us of the person, which may be long out of date.
    pub at: Option<OffsetDateTime>,
    pub passenger_profile: Option<PassengerProfileId>,
    /// The driver or vendor that the host says it is.
    pub staff: Option<Uuid>,
    pub display_name: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias {
    pub kind: AliasKind,
    pub value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AliasKind {
    /// E.164.
    Phone,
    WaId,
    /// Meta's business-scoped user id. Its scope is the business portfolio, which no payload names and which may have several business
    /// accounts; no two portfolios give out the same one.
    Bsuid,
    /// The same under all of an enterprise's portfolios.
    ParentBsuid,
    /// `local@domain` in lower case.
    Email,
}

impl AliasKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::WaId => "wa_id",
            Self::Bsuid => "bsuid",
            Self::ParentBsuid => "parent_bsuid",
            Self::Email => "email",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        [
            Self::Phone,
            Self::WaId,
            Self::Bsuid,
            Self::ParentBsuid,
            Self::Email,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }

    /// Numbers are given to somebody else one day; Meta's ids are not.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Phone | Self::WaId)
    }
}

impl Alias {
    #[must_use]
    pub fn new(kind: AliasKind, value: &str) -> Self {
        Self {
            kind,
            value: value.to_owned(),
        }
    }
}

impl Sighting {
    #[must_use]
    pub fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            aliases: Vec::new(),
            formerly: Vec::new(),
            given_up: Vec::new(),
            gained: Vec::new(),
            claimed: Vec::new(),
            at: None,
            passenger_profile: None,
            staff: None,
            display_name: None,
            locale: None,
            timezone: None,
        }
    }

    /// Who the host says it is.
    pub(super) fn of_the_host(&self) -> Option<Uuid> {
        self.passenger_profile
            .map(|profile| profile.0)
            .or(self.staff)
    }

    pub(super) fn has_number(&self) -> bool {
        self.aliases.iter().any(|alias| alias.kind.is_number())
    }

    pub(super) fn teaches(&self) -> bool {
        self.display_name.is_some()
            || self.locale.is_some()
            || self.timezone.is_some()
            || self.passenger_profile.is_some()
    }
}

/// As `[kind, scope, value]`; see [`SCOPE`].
impl Serialize for Alias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.kind.as_str(), SCOPE, &self.value).serialize(serializer)
    }
}
