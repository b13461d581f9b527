//! What an operator's SMS need in the platform's AWS account: an opt-out list of its own, something to send from, and a way back.
//!
//! Senders are the platform's: they are leased and registered by people, so this only looks whether one is ready.
//! The spend limit is the account's, shared by all tenants; a tenant's own cap is kept by the service.
//!
//! Source: the operations of `pinpoint-sms-voice-v2`, API reference.

mod events;
mod faults;

use crate::ProvisionError;
use crate::aws::{self, Timeouts};
use aws_config::SdkConfig;
use aws_sdk_pinpointsmsvoicev2::Client;
use aws_sdk_pinpointsmsvoicev2::config::http::HttpResponse;
use aws_sdk_pinpointsmsvoicev2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_pinpointsmsvoicev2::types::{
    AccountAttributeName, KeywordAction, NumberStatus, SenderIdAndCountry, SpendLimit,
    SpendLimitName,
};
use serde_json::Value;
use std::error::Error;

/// Countries whose carriers take no sender id.
const WITHOUT_SENDER_IDS: [&str; 1] = ["US"];

/// The reason of a conflict with what is there already.
const EXISTS: &str = "RESOURCE_ALREADY_EXISTS";

/// Sets senders up in one AWS account and region. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EumProvisioner(Client);

/// A list of those who want no SMS. One for each tenant: on a shared one, who stops one tenant stops all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptOutList {
    pub name: String,
    pub arn: String,
}

/// What the AWS account may do. All tenants share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsAccount {
    /// Only verified numbers get anything.
    pub is_sandbox: bool,
    /// What may be spent on text messages in a month, in USD; `None` where AWS did not say.
    pub monthly_limit_usd: Option<i64>,
    /// What that limit may be raised to without asking AWS.
    pub highest_limit_usd: Option<i64>,
}

/// A sender id in one country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderId {
    pub sender_id: String,
    /// ISO 3166-1, two letters.
    pub country: String,
    /// Registered with the country's carriers, where the country wants that.
    pub registered: bool,
    /// `TRANSACTIONAL`, `PROMOTIONAL`.
    pub message_types: Vec<String>,
}

/// A number to send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginationNumber {
    pub phone_number_id: String,
    /// E.164.
    pub phone_number: String,
    pub country: String,
    pub is_active: bool,
    /// What is sent to it comes to us.
    pub two_way: bool,
    /// `Default` is the account's, shared by all tenants.
    pub opt_out_list: String,
}

type Answered<T> = Result<T, ProvisionError>;

/// Whether a text may be a sender id for messages to a country: 3 to 11 letters, digits and hyphens, with a letter.
///
/// # Errors
/// Codes of ours: `invalid-sender-id`, `sender-id-not-supported`.
pub fn check_sender_id(sender_id: &str, country: &str) -> Answered<()> {
    const OPERATION: &str = "check_sender_id";
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_id = (3..=11).contains(&sender_id.len())
        && sender_id.chars().all(plain)
        && sender_id.chars().any(|c| c.is_ascii_alphabetic());
    if !is_id {
        Err(faults::ours(OPERATION, "invalid-sender-id"))
    } else if WITHOUT_SENDER_IDS.contains(&country) {
        Err(faults::ours(OPERATION, "sender-id-not-supported"))
    } else {
        Ok(())
    }
}

impl EumProvisioner {
    /// Credentials, region and endpoint come from `config`; nothing is retried here.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// As [`Self::new`], for tests that cannot wait.
    #[must_use]
    pub fn with_timeouts(config: &SdkConfig, timeouts: Timeouts) -> Self {
        Self(Client::new(&aws::for_sending(config, timeouts)))
    }

    /// The list of that name, made if it is not there.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn ensure_opt_out_list(&self, name: &str) -> Answered<OptOutList> {
        const OPERATION: &str = "CreateOptOutList";
        let created = self
            .0
            .create_opt_out_list()
            .opt_out_list_name(name)
            .send()
            .await;
        match created {
            Err(error) if reason(&error).as_deref() != Some(EXISTS) => {
                return Err(fault(OPERATION, &error));
            }
            _ => {}
        }
        match self.opt_out_list(name).await? {
            Some(list) => Ok(list),
            None => Err(faults::ours(OPERATION, "list-gone")),
        }
    }

    /// The list of that name; `None` where there is none.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn opt_out_list(&self, name: &str) -> Answered<Option<OptOutList>> {
        let request = self.0.describe_opt_out_lists().opt_out_list_names(name);
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fault("DescribeOptOutLists", &error)),
        };
        let found = output
            .opt_out_lists()
            .iter()
            .find(|list| list.opt_out_list_name() == name);
        Ok(found.map(|list| OptOutList {
            name: list.opt_out_list_name().to_owned(),
            arn: list.opt_out_list_arn().to_owned(),
        }))
    }

    /// What the account may do and spend.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn account(&self) -> Answered<SmsAccount> {
        let attributes = self
            .0
            .describe_account_attributes()
            .send()
            .await
            .map_err(|error| fault("DescribeAccountAttributes", &error))?;
        let limits = self
            .0
            .describe_spend_limits()
            .send()
            .await
            .map_err(|error| fault("DescribeSpendLimits", &error))?;
        let text = limits
            .spend_limits()
            .iter()
            .find(|limit| *limit.name() == SpendLimitName::TextMessageMonthlySpendLimit);
        Ok(SmsAccount {
            is_sandbox: attributes.account_attributes().iter().any(|attribute| {
                *attribute.name() == AccountAttributeName::AccountTier
                    && attribute.value() == "SANDBOX"
            }),
            monthly_limit_usd: text.map(SpendLimit::enforced_limit),
            highest_limit_usd: text.map(SpendLimit::max_limit),
        })
    }

    /// A sender id of the account in a country; `None` where it has none. Not every country wants it to be there.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn sender_id(&self, sender_id: &str, country: &str) -> Answered<Option<SenderId>> {
        const OPERATION: &str = "DescribeSenderIds";
        let wanted = SenderIdAndCountry::builder()
            .sender_id(sender_id)
            .iso_country_code(country)
            .build()
            .map_err(|_| faults::ours(OPERATION, "invalid-sender-id"))?;
        let output = match self.0.describe_sender_ids().sender_ids(wanted).send().await {
            Ok(output) => output,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fault(OPERATION, &error)),
        };
        Ok(output.sender_ids().first().map(|found| SenderId {
            sender_id: found.sender_id().to_owned(),
            country: found.iso_country_code().to_owned(),
            registered: found.registered(),
            message_types: found
                .message_types()
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
        }))
    }

    /// A number of the account by its id or ARN; `None` where it has none.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn origination_number(&self, id: &str) -> Answered<Option<OriginationNumber>> {
        let output = match self
            .0
            .describe_phone_numbers()
            .phone_number_ids(id)
            .send()
            .await
        {
            Ok(output) => output,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fault("DescribePhoneNumbers", &error)),
        };
        Ok(output
            .phone_numbers()
            .first()
            .map(|found| OriginationNumber {
                phone_number_id: found.phone_number_id().unwrap_or(id).to_owned(),
                phone_number: found.phone_number().to_owned(),
                country: found.iso_country_code().to_owned(),
                is_active: *found.status() == NumberStatus::Active,
                two_way: found.two_way_enabled(),
                opt_out_list: found.opt_out_list_name().to_owned(),
            }))
    }

    /// Has a number of a tenant's own keep to the tenant's list.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn assign_opt_out_list(&self, number_id: &str, list: &str) -> Answered<()> {
        self.0
            .update_phone_number()
            .phone_number_id(number_id)
            .opt_out_list_name(list)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault("UpdatePhoneNumber", &error))
    }

    /// Has AWS take whoever writes the word to the number off its list, and answer with the message (1 to 1,600 characters): by itself AWS
    /// only puts people on it. A message that begins with the word counts, in whatever case.
    ///
    /// Source: `PutKeyword` of pinpoint-sms-voice-v2; a keyword has 1 to 30 characters.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn opt_in_by(&self, number_id: &str, word: &str, message: &str) -> Answered<()> {
        self.0
            .put_keyword()
            .origination_identity(number_id)
            .keyword(word)
            .keyword_message(message)
            .keyword_action(KeywordAction::OptIn)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault("PutKeyword", &error))
    }
}

fn fault<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ProvisionError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    aws::fault(operation, error, reason(error).as_deref(), faults::classify)
}

/// The member `Reason` of an error, read from the answer: the SDK has it in a type of its own for every error of
/// every operation.
fn reason<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let body = error.raw_response()?.body().bytes()?;
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("Reason")?.as_str()?.to_owned())
}

fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error
        .as_service_error()
        .is_some_and(|error| error.code() == Some("ResourceNotFoundException"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_id_has_a_letter_and_a_country_that_takes_it() {
        let code = |id: &str, country| check_sender_id(id, country).map_err(|error| error.code);
        for good in ["TREN", "My-Train", "123456789-A"] {
            assert_eq!(code(good, "ES"), Ok(()), "{good}");
        }
        for bad in ["", "AB", "123", "TWELVE-CHARS", "Año1", "A B C"] {
            assert_eq!(
                code(bad, "ES"),
                Err("invalid-sender-id".to_owned()),
                "{bad}"
            );
        }
        let refused = Err("sender-id-not-supported".to_owned());
        assert_eq!(code("TREN", "US"), refused);
    }
}
