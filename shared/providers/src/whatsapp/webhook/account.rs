//! Notices about an account: bans, limits, quality, names, security, and faults beside messages.
//!
//! What a notice means is decided here, in one place. Everything is kept; only what stops or restores sending, or sets a
//! value that we show, changes anything.

use super::json;
use super::people::Contacts;
use crate::event::{AccountChange, AccountUpdate, EventKind};
use serde_json::Value;
use time::OffsetDateTime;

type Answer = Result<EventKind, &'static str>;

/// A person should look.
const ALERT: AccountChange = AccountChange::Notice { alert: true };
/// It is kept and shown, and that is all.
const QUIET: AccountChange = AccountChange::Notice { alert: false };

const NO_EVENT: &str = "an account's notice does not say what happened";

/// `account_update`.
pub(super) fn update(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let event = json::id(value, "/event").ok_or(NO_EVENT)?;
    let ban = json::text(value, "/ban_info/waba_ban_state");
    let change = match (event.as_str(), ban.as_deref()) {
        ("DISABLED_UPDATE", Some("DISABLE")) | ("ACCOUNT_DELETED", _) => AccountChange::Suspended {
            reason: event.clone(),
        },
        ("PARTNER_REMOVED" | "PARTNER_APP_UNINSTALLED" | "ACCOUNT_OFFBOARDED", _) => {
            AccountChange::Disconnected {
                reason: event.clone(),
            }
        }
        ("DISABLED_UPDATE", Some("REINSTATE")) | ("ACCOUNT_RECONNECTED", _) => {
            AccountChange::Reinstated
        }
        ("DISABLED_UPDATE" | "ACCOUNT_RESTRICTION" | "ACCOUNT_VIOLATION", _) => ALERT,
        _ => QUIET,
    };
    Ok(notice("account_update", event, change, value, at))
}

/// `account_review_update`.
pub(super) fn review(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let decision = json::id(value, "/decision").ok_or(NO_EVENT)?;
    let change = match decision.as_str() {
        "APPROVED" | "PENDING" => QUIET,
        _ => ALERT,
    };
    Ok(notice("account_review_update", decision, change, value, at))
}

/// `account_alerts`. Only what Meta calls information concerns nobody.
pub(super) fn alert(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let member = |name: &str| {
        json::id(value, &format!("/{name}"))
            .or_else(|| json::id(value, &format!("/alert_info/{name}")))
    };
    let event = member("alert_type").ok_or(NO_EVENT)?;
    let change = match member("alert_severity").as_deref() {
        Some("INFORMATIONAL") => QUIET,
        _ => ALERT,
    };
    Ok(notice("account_alerts", event, change, value, at))
}

/// `business_capability_update`: the event is the name of the limit.
pub(super) fn capability(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    const FIELD: &str = "business_capability_update";
    if !value.is_object() {
        return Err(NO_EVENT);
    }
    let limits = [
        "max_daily_conversations_per_business",
        "max_daily_conversation_per_phone",
    ];
    let told = limits
        .into_iter()
        .find_map(|name| Some((name, tier(value, name)?)));
    match told {
        Some((name, tier)) => {
            let change = AccountChange::MessagingTier(tier);
            Ok(notice(FIELD, name.to_owned(), change, value, at))
        }
        None => Ok(notice(FIELD, FIELD.to_owned(), QUIET, value, at)),
    }
}

/// Messages a second after `THROUGHPUT_UPGRADE`.
const UPGRADED: u32 = 1000;

/// `phone_number_quality_update`: flags, another throughput, and the limit that comes with everything else.
pub(super) fn quality(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let event = json::id(value, "/event").ok_or(NO_EVENT)?;
    let limit = tier(value, "max_daily_conversations_per_business")
        .or_else(|| tier(value, "current_limit"));
    let change = match (event.as_str(), limit) {
        ("FLAGGED" | "UNFLAGGED", _) => AccountChange::Quality(event.clone()),
        ("THROUGHPUT_UPGRADE", _) => AccountChange::Throughput(UPGRADED),
        (_, Some(tier)) => AccountChange::MessagingTier(tier),
        (_, None) => QUIET,
    };
    Ok(notice(
        "phone_number_quality_update",
        event,
        change,
        value,
        at,
    ))
}

/// `phone_number_name_update`.
pub(super) fn name(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let decision = json::id(value, "/decision").ok_or(NO_EVENT)?;
    let change = match json::text(value, "/requested_verified_name") {
        Some(name) => AccountChange::DisplayName {
            name,
            decision: decision.clone(),
        },
        None => QUIET,
    };
    Ok(notice(
        "phone_number_name_update",
        decision,
        change,
        value,
        at,
    ))
}

/// `security`: somebody touched the PIN of a number.
pub(super) fn security(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    let event = json::id(value, "/event").ok_or(NO_EVENT)?;
    Ok(notice("security", event, ALERT, value, at))
}

/// `messaging_handovers`: an agent of Meta's took over a chat, or gave it back.
pub(super) fn handover(value: &Value, at: Option<OffsetDateTime>) -> Answer {
    const FIELD: &str = "messaging_handovers";
    if !value.is_object() {
        return Err(NO_EVENT);
    }
    let event = json::id(value, "/event")
        .or_else(|| json::id(value, "/type"))
        .unwrap_or_else(|| FIELD.to_owned());
    let at = at.or_else(|| json::seconds(value.get("timestamp")));
    Ok(notice(FIELD, event, QUIET, value, at))
}

/// One item of `errors[]` beside messages: something is wrong with the number itself.
pub(super) fn fault(error: &Value, _beside: &Contacts<'_>) -> Answer {
    let code = json::id(error, "/code").ok_or("an error has no usable code")?;
    Ok(notice("errors", code, ALERT, error, None))
}

fn notice(
    field: &str,
    event: String,
    change: AccountChange,
    value: &Value,
    at: Option<OffsetDateTime>,
) -> EventKind {
    let number = json::id(value, "/display_phone_number")
        .or_else(|| json::id(value, "/phone_number"))
        .or_else(|| json::id(value, "/metadata/display_phone_number"));
    EventKind::Account(Box::new(AccountUpdate {
        field: field.to_owned(),
        event,
        display_phone_number: number,
        change,
        at,
    }))
}

/// A limit of people in a day, as Meta's word for it. Some fields have the number instead; -1 is no limit.
fn tier(value: &Value, member: &str) -> Option<String> {
    let limit = json::id(value, &format!("/{member}"))?;
    let word = match limit.as_str() {
        "-1" => "TIER_UNLIMITED",
        "50" => "TIER_50",
        "250" => "TIER_250",
        "1000" => "TIER_1K",
        "2000" => "TIER_2K",
        "10000" => "TIER_10K",
        "100000" => "TIER_100K",
        _ => return Some(limit),
    };
    Some(word.to_owned())
}
