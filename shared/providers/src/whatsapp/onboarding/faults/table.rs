//! The data behind [`super::classify`]: the first row that fits counts, so what is particular stands before what is
//! general. The sentences are for the operator's administrator.

use super::Step;
use crate::provision::Fault;
use crate::provision::FaultClass::{
    Credential, Permission, RateLimited, Retryable, Unknown, WrongInput,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Errors `first..=last` with one of the subcodes, at one of the steps; an empty list means any.
pub(super) struct Row {
    pub steps: Steps,
    pub first: i64,
    pub last: i64,
    pub subcodes: &'static [i64],
    pub fault: Fault,
}

pub(super) struct Steps(&'static [Step]);

impl Steps {
    pub(super) fn is_empty_or_has(&self, step: Step) -> bool {
        self.0.is_empty() || self.0.contains(&step)
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> Option<Step> {
        self.0.first().copied()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|step| step.as_str()).collect();
        names.join("+")
    }
}

const fn row(code: i64, fault: Fault) -> Row {
    Row {
        steps: Steps(&[]),
        first: code,
        last: code,
        subcodes: &[],
        fault,
    }
}

const fn range(first: i64, last: i64, fault: Fault) -> Row {
    Row {
        first,
        last,
        ..row(first, fault)
    }
}

const fn at(steps: &'static [Step], code: i64, fault: Fault) -> Row {
    Row {
        steps: Steps(steps),
        ..row(code, fault)
    }
}

const fn sub(code: i64, subcodes: &'static [i64], fault: Fault) -> Row {
    Row {
        subcodes,
        ..row(code, fault)
    }
}

pub(super) const UNKNOWN: Fault = Fault::new(
    Unknown,
    "Meta answered with an error that is not in our table.",
    "Try once more; if it comes again, give the code to support.",
);

pub(super) const TRANSIENT: Fault = Fault::new(
    Retryable,
    "Meta had a fault that it says will pass.",
    "Try again in a minute.",
);

const LOST_TOKEN: Fault = Fault::new(
    Credential,
    "Meta no longer accepts the access token: it expired, was withdrawn, or the app was removed.",
    "Connect the account again with Embedded Signup.",
);

const NOT_ALLOWED: Fault = Fault::new(
    Permission,
    "The permission for this was not granted, or was taken back.",
    "Connect again and leave all permissions ticked, as an administrator of the business portfolio.",
);

const OUR_LIMIT: Fault = Fault::new(
    RateLimited,
    "Our app has made too many calls to Meta.",
    "Nothing has to be done; the step is tried again later.",
)
.after(MINUTE);

const ACCOUNT_LIMIT: Fault = Fault::new(
    RateLimited,
    "Too many management calls for this WhatsApp Business account within an hour.",
    "Wait; the step is tried again when Meta allows it.",
)
.after(MINUTE);

const MOVING: Fault = Fault::new(
    WrongInput,
    "The number is being moved from another account, and the move is not complete.",
    "Finish or cancel the migration in WhatsApp Manager, then go on here.",
);

const HICCUP: Fault = Fault::new(
    Retryable,
    "Meta's service had a fault.",
    "Try again in a minute; nothing has to be entered again.",
);

/// In order.
pub(super) static ROWS: &[Row] = &[
    // The steps' own.
    at(
        &[Step::ExchangeCode],
        100,
        Fault::new(
            Credential,
            "Meta refused the signup code: it lives for 30 seconds, is good once, and belongs to one app.",
            "Go through Embedded Signup again; the code is used at once.",
        ),
    ),
    sub(
        100,
        &[33],
        Fault::new(
            Permission,
            "The number or account does not exist, or the token cannot see it.",
            "Connect again and choose this account and number in Embedded Signup.",
        ),
    ),
    sub(
        100,
        &[2_388_019],
        Fault::new(
            WrongInput,
            "The account has as many templates as it may have.",
            "Delete templates that are not used, or verify the business to be allowed more.",
        ),
    ),
    sub(
        100,
        &[2_388_040],
        Fault::new(
            WrongInput,
            "A text of the template is too long.",
            "Shorten it: 60 characters for header and footer, 1024 for the body, 25 for a button.",
        ),
    ),
    sub(
        100,
        &[2_388_047],
        Fault::new(
            WrongInput,
            "The template's header is not formed as it must be.",
            "Write the header as plain text with at most one variable, or choose a medium.",
        ),
    ),
    sub(
        100,
        &[2_388_072],
        Fault::new(
            WrongInput,
            "The template's body is not formed as it must be.",
            "Check the variables and their examples in the body.",
        ),
    ),
    sub(
        100,
        &[2_388_073],
        Fault::new(
            WrongInput,
            "The template's footer is not formed as it must be.",
            "Write the footer as plain text without variables.",
        ),
    ),
    sub(
        100,
        &[2_388_293],
        Fault::new(
            WrongInput,
            "The template has too many variables for the length of its text.",
            "Write more words around the variables, or use fewer of them.",
        ),
    ),
    sub(
        100,
        &[2_388_299],
        Fault::new(
            WrongInput,
            "A variable opens or closes the template's text.",
            "Put words before the first and after the last variable.",
        ),
    ),
    at(
        &[Step::Override],
        100,
        Fault::new(
            WrongInput,
            "Meta did not accept the callback: it did not give the challenge back, or the app is not yet subscribed.",
            "Go on from the subscription; if it comes again, our webhook is not reachable: tell support.",
        ),
    ),
    at(
        &[Step::CreateTemplate, Step::DeleteTemplate],
        100,
        Fault::new(
            WrongInput,
            "Meta refused the template: a member is missing or wrong, or its name is taken.",
            "Check name, language, category and examples; a deleted name is free again after 30 days.",
        ),
    ),
    at(
        &[Step::Register],
        131_031,
        Fault::new(
            WrongInput,
            "The account is locked, or the two-step PIN failed Meta's check.",
            "Check the PIN and the account's state in WhatsApp Manager.",
        ),
    ),
    // Registration.
    row(
        133_000,
        Fault::new(
            WrongInput,
            "An earlier deregistration of the number is incomplete.",
            "Deregister the number again, then register it.",
        ),
    ),
    row(
        133_005,
        Fault::new(
            WrongInput,
            "The number has a two-step PIN, and it is another one.",
            "Enter the existing PIN, or reset it in WhatsApp Manager under two-step verification.",
        ),
    ),
    row(
        133_006,
        Fault::new(
            WrongInput,
            "The number has not been verified yet.",
            "Verify the number in WhatsApp Manager by SMS or call, then go on here.",
        ),
    ),
    row(
        133_008,
        Fault::new(
            RateLimited,
            "The PIN was entered wrongly too many times.",
            "Wait as long as Meta's message says, then enter the right PIN or reset it in WhatsApp Manager.",
        )
        .after(HOUR),
    ),
    row(
        133_009,
        Fault::new(
            RateLimited,
            "The PIN was entered again too soon.",
            "Wait as long as Meta's message says, then enter it again.",
        )
        .after(MINUTE),
    ),
    row(
        133_010,
        Fault::new(
            WrongInput,
            "The number is not registered.",
            "Register the number with its PIN.",
        ),
    ),
    row(
        133_015,
        Fault::new(
            Retryable,
            "The number was deleted a moment ago, and Meta has not finished.",
            "Wait for five minutes, then try again.",
        )
        .after(Duration::from_mins(5)),
    ),
    row(
        133_016,
        Fault::new(
            RateLimited,
            "The number was registered or deregistered more than ten times in 72 hours.",
            "Wait for 72 hours; there is no way around it.",
        )
        .after(Duration::from_hours(72)),
    ),
    row(131_045, Fault::new(
        WrongInput,
        "The number's registration is broken.",
        "Register the number again.",
    )),
    row(2_388_001, MOVING),
    row(2_388_012, MOVING),
    row(2_388_091, MOVING),
    row(2_388_093, MOVING),
    row(2_388_103, MOVING),
    row(
        2_593_107,
        Fault::new(
            RateLimited,
            "The phone app's contacts and history were synchronised too many times.",
            "Wait for a day; messages are not affected.",
        )
        .after(Duration::from_hours(24)),
    ),
    row(
        2_593_108,
        Fault::new(
            WrongInput,
            "The phone app can be synchronised within 24 hours of signup alone, and they are over.",
            "Go on without its history, or disconnect and sign up again.",
        ),
    ),
    // The account.
    row(
        33,
        Fault::new(
            WrongInput,
            "The business number was deleted, or never was.",
            "Choose another number in Embedded Signup.",
        ),
    ),
    row(
        368,
        Fault::new(
            Permission,
            "Meta has restricted the account for a violation of its policies.",
            "Read the notice in the Business Support Home and ask for a review there.",
        ),
    ),
    row(
        131_031,
        Fault::new(
            Permission,
            "Meta has locked the account.",
            "Read the notice in the Business Support Home and ask for a review there.",
        ),
    ),
    row(
        131_037,
        Fault::new(
            WrongInput,
            "The display name of the number is not approved.",
            "Choose a display name that follows Meta's guidelines in WhatsApp Manager.",
        ),
    ),
    row(
        131_042,
        Fault::new(
            WrongInput,
            "The account has no valid payment method.",
            "Add a payment method to the WhatsApp Business account in Meta's billing settings.",
        ),
    ),
    // The token.
    row(0, LOST_TOKEN),
    sub(
        190,
        &[460],
        Fault::new(
            Credential,
            "The access token ended because the password of its user was changed.",
            "Connect the account again with Embedded Signup.",
        ),
    ),
    sub(
        190,
        &[463],
        Fault::new(
            Credential,
            "The access token has expired.",
            "Connect the account again with Embedded Signup.",
        ),
    ),
    row(190, LOST_TOKEN),
    row(
        104,
        Fault::new(
            Credential,
            "Meta wants the proof of the app's secret, or refuses it: the secret here is not the app's.",
            "Nothing can be done in the portal; tell support to check the app secret.",
        ),
    ),
    row(
        3,
        Fault::new(
            Permission,
            "Our app lacks a capability that this call needs.",
            "Nothing can be done in the portal; tell support.",
        ),
    ),
    row(10, NOT_ALLOWED),
    range(200, 299, NOT_ALLOWED),
    row(131_005, NOT_ALLOWED),
    // Too many calls.
    row(4, OUR_LIMIT),
    row(613, OUR_LIMIT),
    row(80_007, ACCOUNT_LIMIT),
    row(80_008, ACCOUNT_LIMIT),
    // It passes.
    row(1, HICCUP),
    row(2, HICCUP),
    row(131_000, HICCUP),
    row(131_016, HICCUP),
    row(133_004, HICCUP),
    row(
        131_057,
        Fault::new(
            Retryable,
            "Meta is at work on the account, such as raising its throughput.",
            "Try again in a minute.",
        )
        .after(MINUTE),
    ),
    row(
        2_494_100,
        Fault::new(
            Retryable,
            "Meta has put the account into maintenance.",
            "Try again in some minutes.",
        )
        .after(MINUTE),
    ),
    row(
        131_059,
        Fault::new(
            Retryable,
            "The list changed while it was being read.",
            "Read it again from the beginning.",
        ),
    ),
    // What was asked for.
    row(
        100,
        Fault::new(
            WrongInput,
            "Meta refused a value that was handed on.",
            "Check what was entered; if it is right, give Meta's message to support.",
        ),
    ),
    row(
        131_008,
        Fault::new(
            WrongInput,
            "Meta misses a value that this step needs.",
            "Check what was entered; if it is complete, give Meta's message to support.",
        ),
    ),
    row(
        131_009,
        Fault::new(
            WrongInput,
            "Meta refused the form of a value.",
            "Check what was entered; if it is right, give Meta's message to support.",
        ),
    ),
];

/// Faults that are found without a code of Meta's.
pub(super) static OURS: &[(&str, Fault)] = &[
    (
        "token-invalid",
        Fault::new(
            Credential,
            "Meta says that the access token is not valid.",
            "Connect the account again with Embedded Signup.",
        ),
    ),
    (
        "token-of-another-app",
        Fault::new(
            Credential,
            "The access token was given to another app.",
            "Connect the account again from this portal.",
        ),
    ),
    (
        "scope-missing",
        Fault::new(
            Permission,
            "The permission to manage the account, or to send from it, was not granted.",
            "Connect again and leave all permissions ticked.",
        ),
    ),
    (
        "waba-not-granted",
        Fault::new(
            Permission,
            "The access token does not grant this WhatsApp Business account.",
            "Connect again and choose this account in Embedded Signup.",
        ),
    ),
    (
        "number-not-in-waba",
        Fault::new(
            WrongInput,
            "The number does not belong to this WhatsApp Business account.",
            "Choose a number of the account, or connect the account that the number is in.",
        ),
    ),
    (
        "invalid-token",
        Fault::new(
            Credential,
            "The access token is empty or not a token.",
            "Connect the account again with Embedded Signup.",
        ),
    ),
    (
        "invalid-id",
        Fault::new(
            WrongInput,
            "The id of the account or number is not an id.",
            "Take the ids that Embedded Signup answered with.",
        ),
    ),
    (
        "invalid-callback",
        Fault::new(
            WrongInput,
            "The callback is not an https URL of at most 200 characters without a query.",
            "Nothing can be done in the portal; tell support to check our own address.",
        ),
    ),
    (
        "invalid-name",
        Fault::new(
            WrongInput,
            "The template's name has characters that Meta does not take.",
            "Use lower-case letters, digits and underscores, at most 512.",
        ),
    ),
    (
        "too-many-pages",
        Fault::new(
            WrongInput,
            "The account has more templates than Meta allows, or the list does not end.",
            "Delete templates that are not used.",
        ),
    ),
];
