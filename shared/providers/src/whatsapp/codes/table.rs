//! The data behind [`super::classify`]: Meta's codes, sorted, with our class and our words for each.
//!
//! To add a code: put its row where the order wants it; the tests beside `classify` check order and list all rows.

use crate::OutcomeClass::{
    self, AccountConfig, Auth, Hold, MarketingLimit, PermanentContent, PermanentRecipient,
    PermanentTemplate, PolicyWindow, RateLimited, Retryable,
};
use crate::Scope;

/// Codes `first..=last` share a meaning.
pub(super) struct Row {
    pub first: i64,
    pub last: i64,
    pub class: OutcomeClass,
    pub meaning: &'static str,
}

/// The row of a code, if there is one.
pub(super) fn find(code: i64) -> Option<&'static Row> {
    let after = ROWS.partition_point(|row| row.first <= code);
    ROWS[..after].last().filter(|row| code <= row.last)
}

const fn row(code: i64, class: OutcomeClass, meaning: &'static str) -> Row {
    Row {
        first: code,
        last: code,
        class,
        meaning,
    }
}

/// Sorted by code.
pub(super) static ROWS: &[Row] = &[
    row(0, Auth, "the app user cannot be authenticated"),
    row(1, Retryable, "unknown API error"),
    row(2, Retryable, "service down or overloaded"),
    row(3, Auth, "the app lacks the capability"),
    row(4, RateLimited(Scope::App), "call limit of the app"),
    row(10, Auth, "permission not granted or removed"),
    row(33, AccountConfig, "business number deleted or unknown"),
    row(100, PermanentContent, "parameter unknown or out of bounds"),
    row(104, Auth, "app-secret proof or session required"),
    row(190, Auth, "access token expired or invalid"),
    Row {
        first: 200,
        last: 299,
        class: Auth,
        meaning: "permission missing or removed",
    },
    row(
        368,
        Hold(Scope::Account),
        "account restricted for a policy violation",
    ),
    row(613, RateLimited(Scope::App), "custom call limit of the app"),
    row(
        80_007,
        RateLimited(Scope::Account),
        "call limit of the business account",
    ),
    row(
        80_008,
        RateLimited(Scope::Account),
        "management call limit of the business account",
    ),
    row(
        130_403,
        PermanentRecipient,
        "the business has blocked this user",
    ),
    row(
        130_429,
        RateLimited(Scope::PhoneNumber),
        "throughput of the number exceeded",
    ),
    row(
        130_472,
        PermanentRecipient,
        "the user is part of an experiment of Meta",
    ),
    row(
        130_497,
        PermanentRecipient,
        "the business may not message users in this country",
    ),
    row(131_000, Retryable, "something went wrong at Meta"),
    row(131_005, Auth, "access denied"),
    row(131_008, PermanentContent, "required parameter missing"),
    row(131_009, PermanentContent, "parameter value invalid"),
    row(131_016, Retryable, "service unavailable"),
    row(
        131_020,
        PermanentContent,
        "message not allowed for this kind of chat",
    ),
    row(
        131_021,
        PermanentRecipient,
        "recipient and sender are the same",
    ),
    row(
        131_026,
        PermanentRecipient,
        "not deliverable to this recipient",
    ),
    row(
        131_030,
        PermanentRecipient,
        "recipient not on the allow-list of the test number",
    ),
    row(131_031, Hold(Scope::Account), "account locked"),
    row(131_037, AccountConfig, "display name not approved"),
    row(131_042, AccountConfig, "payment method missing or refused"),
    row(
        131_044,
        AccountConfig,
        "payment method missing or refused (calling)",
    ),
    row(
        131_045,
        AccountConfig,
        "registration of the number is broken",
    ),
    row(
        131_047,
        PolicyWindow,
        "more than 24 hours since the customer last wrote",
    ),
    row(
        131_048,
        Hold(Scope::PhoneNumber),
        "number restricted for spam or low quality",
    ),
    row(
        131_049,
        MarketingLimit,
        "marketing cap of the recipient or the account",
    ),
    row(
        131_050,
        PermanentRecipient,
        "the user stopped marketing messages of this business",
    ),
    row(131_051, PermanentContent, "message type not supported"),
    row(131_052, PermanentContent, "media could not be downloaded"),
    row(131_053, PermanentContent, "media could not be uploaded"),
    row(
        131_055,
        PermanentContent,
        "method not allowed for this kind of message",
    ),
    row(
        131_056,
        RateLimited(Scope::Pair),
        "too many messages to the same recipient",
    ),
    row(131_057, Retryable, "account in maintenance"),
    row(131_059, Retryable, "paging cursor no longer valid"),
    row(131_060, PermanentContent, "message unavailable"),
    row(
        131_062,
        PermanentRecipient,
        "this message needs a phone number as recipient",
    ),
    row(
        131_063,
        PermanentTemplate,
        "marketing templates are disabled for this account",
    ),
    row(
        131_064,
        Hold(Scope::Template),
        "limit of the template classification enforcement",
    ),
    row(
        131_208,
        RateLimited(Scope::PhoneNumber),
        "too many group operations",
    ),
    row(
        132_000,
        PermanentTemplate,
        "number of template parameters does not match",
    ),
    row(
        132_001,
        PermanentTemplate,
        "template missing in this language or not approved",
    ),
    row(
        132_005,
        PermanentTemplate,
        "template text too long with its parameters",
    ),
    row(
        132_007,
        PermanentTemplate,
        "template content violates a policy",
    ),
    row(
        132_008,
        PermanentTemplate,
        "template parameter value invalid",
    ),
    row(
        132_012,
        PermanentTemplate,
        "template parameter format does not match",
    ),
    row(
        132_015,
        PermanentTemplate,
        "template paused for low quality",
    ),
    row(132_016, PermanentTemplate, "template disabled for good"),
    row(
        132_018,
        PermanentTemplate,
        "template parameters failed validation",
    ),
    row(132_068, PermanentTemplate, "flow blocked"),
    row(132_069, RateLimited(Scope::Template), "flow throttled"),
    row(
        133_000,
        AccountConfig,
        "deregistration of the number is incomplete",
    ),
    row(133_004, Retryable, "server temporarily unavailable"),
    row(133_005, AccountConfig, "two-step PIN does not match"),
    row(133_006, AccountConfig, "the number must be verified first"),
    row(133_008, AccountConfig, "too many PIN attempts"),
    row(133_009, AccountConfig, "PIN entered too fast"),
    row(133_010, AccountConfig, "number not registered"),
    row(133_015, AccountConfig, "number was deleted recently"),
    row(
        133_016,
        Hold(Scope::PhoneNumber),
        "too many registrations of the number",
    ),
    row(134_011, AccountConfig, "payment terms not accepted"),
    row(
        134_100,
        PermanentContent,
        "only marketing messages are allowed on this API",
    ),
    row(134_101, Retryable, "template still being synchronised"),
    row(
        134_102,
        PermanentTemplate,
        "template unavailable on this API",
    ),
    row(135_000, Retryable, "generic error in the parameters"),
    row(
        137_000,
        PermanentRecipient,
        "the identity of the recipient has changed",
    ),
    row(139_200, Hold(Scope::Account), "direct sending blocked"),
    row(
        2_388_001,
        AccountConfig,
        "migration of the number is incomplete",
    ),
    row(
        2_388_012,
        AccountConfig,
        "migration of the number is incomplete",
    ),
    row(
        2_388_091,
        AccountConfig,
        "migration of the number is incomplete",
    ),
    row(
        2_388_093,
        AccountConfig,
        "migration of the number is incomplete",
    ),
    row(
        2_388_103,
        AccountConfig,
        "migration of the number is incomplete",
    ),
    row(2_494_100, Retryable, "account in maintenance mode"),
    row(
        2_593_107,
        AccountConfig,
        "too many synchronisations of the phone app",
    ),
    row(
        2_593_108,
        AccountConfig,
        "synchronisation of the phone app no longer possible",
    ),
];
