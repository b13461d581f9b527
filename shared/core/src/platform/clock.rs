//! The one clock of the service's own. Whatever is stored takes the database's time instead.

use time::OffsetDateTime;

/// What a handler is given to tell the time by, so that a test can give it another.
pub type Clock = fn() -> OffsetDateTime;

/// The time of this machine.
#[must_use]
pub fn now() -> OffsetDateTime {
    #[expect(clippy::disallowed_methods, reason = "the one clock")]
    OffsetDateTime::now_utc()
}
