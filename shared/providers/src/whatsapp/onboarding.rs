//! Meta's side of connecting an operator's WhatsApp account: Embedded Signup from the code on, and templates.
//!
//! [`OnboardingClient`] makes one call for each step and repeats none. Every step but the exchange of the code may
//! be made again without harm, so whoever keeps the progress may go on where it stopped. What went wrong is a
//! [`ProvisionError`], with cause and cure from one table.
//!
//! Every call with a token carries the proof that we are the app it was given to. It goes in the query, as do, for
//! the exchange and the inspection, the secrets themselves: Meta has no other place for them. They are in no error
//! and no span: errors are made of words of ours, and never of the request.
//!
//! Source: "Embedded Signup", "Business phone numbers", "Webhook overrides" and "Message templates", Cloud API.

mod call;
mod faults;
mod number;
mod page;
mod subscription;
mod template;
mod token;

pub use number::{PhoneNumber, Pin};
pub use page::Page;
pub use subscription::{CallbackUrl, Subscription};
pub use template::{CreatedTemplate, NewTemplate, Template};
pub use token::{BusinessToken, TokenFacts, TokenScope};

use crate::ProvisionError;
use crate::http::GraphUrl;
use secrecy::SecretString;

/// Makes the calls of onboarding, as one Meta app. Cheap to clone; one per process is enough for every tenant.
#[derive(Debug, Clone)]
pub struct OnboardingClient {
    http: reqwest::Client,
    base: GraphUrl,
    app: MetaApp,
}

/// The Meta app that operators connect their accounts to.
#[derive(Debug, Clone)]
pub struct MetaApp {
    pub app_id: String,
    pub app_secret: SecretString,
}

impl OnboardingClient {
    /// `base` names the Graph API version; `http` comes from [`crate::http::client`].
    #[must_use]
    pub fn new(http: reqwest::Client, base: GraphUrl, app: MetaApp) -> Self {
        Self { http, base, app }
    }
}

/// What a call's answer is.
type Answered<T> = Result<T, ProvisionError>;
