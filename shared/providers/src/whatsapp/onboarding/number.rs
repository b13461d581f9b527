//! The business numbers of an account: reading, registering, giving up.

use super::call::{success, text};
use super::faults::{self, Step};
use super::{Answered, OnboardingClient, Page, page};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// What is asked of a number.
const FIELDS: &str = "id,display_phone_number,verified_name,name_status,status,quality_rating,platform_type,\
throughput,whatsapp_business_manager_messaging_limit,code_verification_status,is_on_biz_app";

/// Pages of numbers that are looked through for one; an account has far fewer.
const PAGES: usize = 20;

/// A number as Meta knows it. Words are Meta's own and may be new ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhoneNumber {
    /// What calls are made with; not the number itself.
    pub id: String,
    /// As people read it, such as `+34 911 22 23 33`.
    pub display_phone_number: Option<String>,
    /// What customers see.
    pub verified_name: Option<String>,
    /// `APPROVED`, `PENDING_REVIEW`, `DECLINED`…
    pub name_status: Option<String>,
    /// `CONNECTED`, `PENDING`, `DISCONNECTED`…
    pub status: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality_rating: Option<String>,
    /// `CLOUD_API`, `ON_PREMISE`, `NOT_APPLICABLE`.
    pub platform_type: Option<String>,
    /// `STANDARD`, `HIGH`…
    pub throughput_level: Option<String>,
    /// Unique people in 24 hours: `TIER_250`, `TIER_2K`… It is the business portfolio's, shared by its numbers.
    pub messaging_limit_tier: Option<String>,
    /// `VERIFIED`, `NOT_VERIFIED`, `EXPIRED`.
    pub code_verification_status: Option<String>,
    /// Used in the phone app too: never to be registered or deregistered, and slower.
    pub is_on_biz_app: bool,
}

/// A two-step PIN of six digits.
#[derive(Debug, Clone)]
pub struct Pin(SecretString);

impl Pin {
    /// `None` for what is not six digits.
    #[must_use]
    pub fn new(pin: &str) -> Option<Self> {
        let is_pin = pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit());
        is_pin.then(|| Self(SecretString::from(pin)))
    }

    /// For the vault: what is set here is wanted again at the next registration.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl OnboardingClient {
    /// One page of an account's numbers; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn phone_numbers(
        &self,
        token: &SecretString,
        waba_id: &str,
        after: Option<&str>,
    ) -> Answered<Page<PhoneNumber>> {
        let step = Step::ListNumbers;
        let mut url = self.url(step, &[waba_id, "phone_numbers"])?;
        page::ask(&mut url, FIELDS, after);
        let request = self.authorised(step, Method::GET, url, token)?;
        self.call(step, request, &[token], |body| page::read(body, number))
            .await
    }

    /// The number, if it is the account's; else the code of ours `number-not-in-waba`.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn number_of(
        &self,
        token: &SecretString,
        waba_id: &str,
        phone_number_id: &str,
    ) -> Answered<PhoneNumber> {
        let mut after = None;
        for _ in 0..PAGES {
            let page = self.phone_numbers(token, waba_id, after.as_deref()).await?;
            let found = page
                .items
                .into_iter()
                .find(|item| item.id == phone_number_id);
            match (found, page.next) {
                (Some(number), _) => return Ok(number),
                (None, Some(next)) => after = Some(next),
                (None, None) => break,
            }
        }
        Err(faults::ours(Step::ListNumbers, "number-not-in-waba"))
    }

    /// Reads a number.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn phone_number(
        &self,
        token: &SecretString,
        phone_number_id: &str,
    ) -> Answered<PhoneNumber> {
        let step = Step::ReadNumber;
        let mut url = self.url(step, &[phone_number_id])?;
        url.query_pairs_mut().append_pair("fields", FIELDS);
        let request = self.authorised(step, Method::GET, url, token)?;
        self.call(step, request, &[token], number).await
    }

    /// Registers a number for the Cloud API. A number that has a two-step PIN wants that one; one without gets
    /// `pin`, so it is to be kept. A number that is registered stays so. Ten times in 72 hours are free.
    ///
    /// # Errors
    /// 133005 for a wrong PIN, 133006, 133008, 133009, 133015, 133016: the table has cause and cure.
    pub async fn register(
        &self,
        token: &SecretString,
        phone_number_id: &str,
        pin: &Pin,
    ) -> Answered<()> {
        let step = Step::Register;
        let url = self.url(step, &[phone_number_id, "register"])?;
        let body = json!({ "messaging_product": "whatsapp", "pin": pin.0.expose_secret() });
        let request = self.authorised(step, Method::POST, url, token)?.json(&body);
        self.call(step, request, &[token, &pin.0], success).await
    }

    /// Takes a number off the Cloud API. It is not deleted, and may be registered again.
    ///
    /// # Errors
    /// 133010 where it is not registered, 133016 after ten in 72 hours.
    pub async fn deregister(&self, token: &SecretString, phone_number_id: &str) -> Answered<()> {
        let step = Step::Deregister;
        let url = self.url(step, &[phone_number_id, "deregister"])?;
        let request = self.authorised(step, Method::POST, url, token)?;
        self.call(step, request, &[token], success).await
    }
}

fn number(body: &Value) -> Option<PhoneNumber> {
    let tier = text(body, "/whatsapp_business_manager_messaging_limit");
    Some(PhoneNumber {
        id: text(body, "/id")?,
        display_phone_number: text(body, "/display_phone_number"),
        verified_name: text(body, "/verified_name"),
        name_status: text(body, "/name_status"),
        status: text(body, "/status"),
        quality_rating: text(body, "/quality_rating"),
        platform_type: text(body, "/platform_type"),
        throughput_level: text(body, "/throughput/level"),
        messaging_limit_tier: tier,
        code_verification_status: text(body, "/code_verification_status"),
        is_on_biz_app: body["is_on_biz_app"].as_bool().unwrap_or_default(),
    })
}
