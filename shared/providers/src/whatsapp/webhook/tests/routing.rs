//! Whose an event is, and what a notice about an account means.

use super::samples::events;
use super::{parse_json, payload};
use crate::event::{AccountChange, AccountRef, EventKind};
use serde_json::json;

/// The number and the business account that the first event of a sample is for.
fn account(name: &str) -> Option<AccountRef> {
    events(name).remove(0).account
}

/// No number, and this business account.
fn waba(id: &str) -> AccountRef {
    AccountRef {
        waba_id: Some(id.to_owned()),
        ..AccountRef::default()
    }
}

#[test]
fn a_notice_belongs_to_the_business_account_it_names_else_to_the_entrys() {
    for name in [
        "account-deleted",
        "template-approved",
        "account-security-pin",
    ] {
        assert_eq!(account(name), Some(waba("waba-1")), "{name}");
    }
}

#[test]
fn the_entry_of_a_partners_event_is_a_portfolio_and_nobodys_account() {
    for name in [
        "partner-added",
        "partner-removed",
        "app-installed",
        "app-uninstalled",
        "ad-account",
    ] {
        assert_eq!(
            account(&format!("account-{name}")),
            Some(waba("waba-1")),
            "{name}"
        );
    }
    assert_eq!(account("account-partner-removed-unnamed"), None);
    assert_eq!(account("account-terms-signed"), None);
}

#[test]
fn messages_without_a_number_are_nobodys() {
    assert_eq!(account("message-no-metadata"), None);
}

#[test]
fn fields_that_are_not_handled_are_nobodys_unless_they_say_whose() {
    assert_eq!(account("unhandled-flows"), None);
    assert_eq!(account("unhandled-waba-info"), Some(waba("waba-1")));
    let calls = account("unhandled-calls").expect("an account");
    assert_eq!(calls.external_account_id.as_deref(), Some("1065"));
}

#[test]
fn what_stops_sending_what_restores_it_and_what_a_person_should_see() {
    let suspended = |reason: &str| AccountChange::Suspended {
        reason: reason.to_owned(),
    };
    let disconnected = |reason: &str| AccountChange::Disconnected {
        reason: reason.to_owned(),
    };
    let notice = |alert| AccountChange::Notice { alert };
    let tier = |tier: &str| AccountChange::MessagingTier(tier.to_owned());
    let cases = [
        ("deleted", suspended("ACCOUNT_DELETED")),
        ("banned", suspended("DISABLED_UPDATE")),
        ("partner-removed", disconnected("PARTNER_REMOVED")),
        ("app-uninstalled", disconnected("PARTNER_APP_UNINSTALLED")),
        ("offboarded", disconnected("ACCOUNT_OFFBOARDED")),
        ("reinstated", AccountChange::Reinstated),
        ("reconnected", AccountChange::Reinstated),
        ("ban-scheduled", notice(true)),
        ("restriction", notice(true)),
        ("violation", notice(true)),
        ("review-rejected", notice(true)),
        ("alert", notice(true)),
        ("security-pin", notice(true)),
        ("partner-added", notice(false)),
        ("pricing-tier", notice(false)),
        ("new-event", notice(false)),
        ("review-approved", notice(false)),
        ("alert-information", notice(false)),
        ("handover", notice(false)),
        ("quality-throughput", AccountChange::Throughput(1000)),
        (
            "quality-flagged",
            AccountChange::Quality("FLAGGED".to_owned()),
        ),
        ("quality-upgrade", tier("TIER_10K")),
        ("capability", tier("TIER_2K")),
        ("capability-unlimited", tier("TIER_UNLIMITED")),
        ("capability-word", tier("TIER_100K")),
    ];
    for (name, change) in cases {
        match &events(&format!("account-{name}"))[0].kind {
            EventKind::Account(update) => assert_eq!(update.change, change, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn an_alert_about_a_number_is_that_numbers() {
    let alert = |kind: &str| {
        let mut notice = payload(json!({}));
        notice["entry"][0]["changes"][0] = json!({ "field": "account_alerts", "value": {
            "entity_type": kind, "entity_id": "1065", "alert_info": { "alert_severity": "CRITICAL", "alert_type": "OBA_REJECTED" } } });
        parse_json(&notice).remove(0).account.expect("an account")
    };
    assert_eq!(
        alert("PHONE_NUMBER").external_account_id.as_deref(),
        Some("1065")
    );
    assert_eq!(alert("BUSINESS"), waba("waba-1"));
}

#[test]
fn faults_beside_messages_are_the_numbers() {
    let event = events("errors-beside").remove(0);
    assert_eq!(
        event
            .account
            .and_then(|account| account.external_account_id)
            .as_deref(),
        Some("1065")
    );
    match event.kind {
        EventKind::Account(fault) => {
            assert_eq!(
                (fault.field.as_str(), fault.event.as_str()),
                ("errors", "131031")
            );
            assert_eq!(fault.change, AccountChange::Notice { alert: true });
        }
        other => panic!("{other:?}"),
    }
}
