//! End User Messaging: opt-out lists, what the account may spend, the senders that it leases, and where it tells what becomes of texts.

mod events;

use super::{Answered, AwsError, HOME};
use events::Destination;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the account may send from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
pub enum SmsSender {
    SenderId {
        sender_id: String,
        country: String,
        registered: bool,
    },
    Number {
        phone_number_id: String,
        phone_number: String,
        country: String,
        two_way: bool,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Sms {
    lists: BTreeSet<String>,
    pub(crate) senders: Vec<SmsSender>,
    /// Number and list.
    assigned: Vec<(String, String)>,
    /// Number and topic: where is told what is written to it.
    pub(crate) hears: BTreeMap<String, String>,
    /// Numbers of countries without two-way.
    pub(crate) deaf: BTreeSet<String>,
    /// By name: a configuration set's destinations, by theirs.
    sets: BTreeMap<String, BTreeMap<String, Destination>>,
    /// Number and word, of those that take people off its list.
    pub(crate) opt_in_words: BTreeSet<(String, String)>,
    pub(crate) texts: Vec<SentText>,
}

/// A text message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentText {
    pub message_id: String,
    pub to: String,
    pub body: String,
    /// A sender id, a number or a pool; none where the account picks.
    pub from: Option<String>,
    /// Where its events go; none are made of a text without one.
    pub configuration_set: Option<String>,
    /// What the sender wants echoed.
    pub context: Value,
}

impl Sms {
    pub(super) fn perform(&mut self, operation: &str, body: &Value) -> Answered {
        match operation {
            "CreateOptOutList" => self.create_list(body),
            "DescribeOptOutLists" => self.describe_lists(body),
            "DescribeAccountAttributes" => Ok(json!({ "AccountAttributes": [
                { "Name": "ACCOUNT_TIER", "Value": "PRODUCTION" }
            ]})),
            "DescribeSpendLimits" => Ok(json!({ "SpendLimits": [
                { "Name": "VOICE_MESSAGE_MONTHLY_SPEND_LIMIT", "EnforcedLimit": 7, "MaxLimit": 8,
                  "Overridden": false },
                { "Name": "TEXT_MESSAGE_MONTHLY_SPEND_LIMIT", "EnforcedLimit": 1, "MaxLimit": 50,
                  "Overridden": false },
            ]})),
            "DescribeSenderIds" => self.describe_sender_ids(body),
            "DescribePhoneNumbers" => self.describe_numbers(body),
            "UpdatePhoneNumber" => self.update_number(body),
            "CreateConfigurationSet" => self.create_set(body),
            "CreateEventDestination" => self.create_destination(body),
            "UpdateEventDestination" => self.update_destination(body),
            "PutKeyword" => self.put_keyword(body),
            "SendTextMessage" => self.send(body),
            _ => Err(AwsError::new(400, "UnknownOperationException", "")),
        }
    }

    /// From a sender that is leased, or, where none is named, from whatever there is.
    fn send(&mut self, body: &Value) -> Answered {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let (Some(to), Some(words)) = (text("DestinationPhoneNumber"), text("MessageBody")) else {
            return Err(invalid("No number or no text."));
        };
        let from = text("OriginationIdentity");
        let is_leased = |wanted: &String| {
            self.senders.iter().any(|sender| match sender {
                SmsSender::SenderId { sender_id, .. } => sender_id == wanted,
                SmsSender::Number {
                    phone_number_id,
                    phone_number,
                    ..
                } => phone_number_id == wanted || phone_number == wanted,
            })
        };
        let configuration_set = text("ConfigurationSetName");
        let is_known = configuration_set
            .iter()
            .all(|set| self.sets.contains_key(set));
        if !from.iter().all(is_leased) || !is_known {
            return Err(missing());
        }
        let message_id = format!("simulated-text-{:06}", self.texts.len());
        self.texts.push(SentText {
            message_id: message_id.clone(),
            to,
            body: words,
            from,
            configuration_set,
            context: body["Context"].clone(),
        });
        Ok(json!({ "MessageId": message_id }))
    }

    fn create_list(&mut self, body: &Value) -> Answered {
        let name = body["OptOutListName"].as_str().unwrap_or_default();
        if self.lists.insert(name.to_owned()) {
            return Ok(list(name));
        }
        Err(exists())
    }

    fn describe_lists(&self, body: &Value) -> Answered {
        let wanted = body["OptOutListNames"][0].as_str().unwrap_or_default();
        if self.lists.contains(wanted) {
            Ok(json!({ "OptOutLists": [list(wanted)] }))
        } else {
            Err(missing())
        }
    }

    fn describe_sender_ids(&self, body: &Value) -> Answered {
        let wanted = &body["SenderIds"][0];
        let found = self.senders.iter().find_map(|sender| match sender {
            SmsSender::SenderId { sender_id, country, registered }
                if wanted["SenderId"] == sender_id.as_str()
                    && wanted["IsoCountryCode"] == country.as_str() =>
            {
                Some(json!({ "SenderIds": [{
                    "SenderIdArn": format!("arn:aws:sms-voice:{HOME}:sender-id/{sender_id}/{country}"),
                    "SenderId": sender_id, "IsoCountryCode": country,
                    "MessageTypes": ["TRANSACTIONAL"], "MonthlyLeasingPrice": "0.00",
                    "DeletionProtectionEnabled": false, "Registered": registered,
                }]}))
            }
            _ => None,
        });
        found.ok_or_else(missing)
    }

    fn describe_numbers(&self, body: &Value) -> Answered {
        let wanted = body["PhoneNumberIds"][0].as_str().unwrap_or_default();
        let found = self.senders.iter().find_map(|sender| match sender {
            SmsSender::Number { phone_number_id, phone_number, country, two_way }
                if phone_number_id == wanted =>
            {
                let assigned = self.assigned.iter().rev().find(|(id, _)| id == wanted);
                let list = assigned.map_or("Default", |(_, list)| list.as_str());
                Some(json!({ "PhoneNumbers": [{
                    "PhoneNumberArn": format!("arn:aws:sms-voice:{HOME}:phone-number/{phone_number_id}"),
                    "PhoneNumberId": phone_number_id, "PhoneNumber": phone_number,
                    "Status": "ACTIVE", "IsoCountryCode": country, "MessageType": "TRANSACTIONAL",
                    "NumberCapabilities": ["SMS"], "NumberType": "LONG_CODE",
                    "MonthlyLeasingPrice": "1.00", "TwoWayEnabled": *two_way || self.hears.contains_key(wanted),
                    "SelfManagedOptOutsEnabled": false, "OptOutListName": list,
                    "InternationalSendingEnabled": false, "DeletionProtectionEnabled": false,
                    "CreatedTimestamp": 1_763_900_000,
                }]}))
            }
            _ => None,
        });
        found.ok_or_else(missing)
    }

    fn put_keyword(&mut self, body: &Value) -> Answered {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (number, word) = (text("OriginationIdentity"), text("Keyword"));
        self.describe_numbers(&json!({ "PhoneNumberIds": [number] }))?;
        let fits = (1..=30).contains(&word.chars().count()) && !text("KeywordMessage").is_empty();
        if !fits || body["KeywordAction"] != "OPT_IN" {
            return Err(invalid("No such keyword."));
        }
        self.opt_in_words.insert((number, word));
        Ok(json!({}))
    }

    /// All of it or nothing.
    fn update_number(&mut self, body: &Value) -> Answered {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let number = text("PhoneNumberId").unwrap_or_default();
        self.describe_numbers(&json!({ "PhoneNumberIds": [number] }))?;
        let (list, topic) = (text("OptOutListName"), text("TwoWayChannelArn"));
        if list.iter().any(|list| !self.lists.contains(list)) {
            return Err(missing());
        }
        match (body["TwoWayEnabled"].as_bool(), topic) {
            (Some(true), Some(topic)) => {
                events::check_topic(&topic)?;
                if self.deaf.contains(&number) {
                    let mut error = invalid("Not in this country.");
                    error.reason = Some("TWO_WAY_NOT_SUPPORTED_IN_COUNTRY");
                    return Err(error);
                }
                self.hears.insert(number.clone(), topic);
            }
            (None, None) if list.is_some() => {}
            _ => return Err(invalid("Nothing to change, or two-way without a topic.")),
        }
        self.assigned.extend(list.map(|list| (number, list)));
        Ok(json!({}))
    }
}

fn list(name: &str) -> Value {
    json!({
        "OptOutListArn": format!("arn:aws:sms-voice:{HOME}:opt-out-list/{name}"),
        "OptOutListName": name,
        "CreatedTimestamp": 1_763_900_000,
    })
}

fn missing() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "There is none.")
}

fn exists() -> AwsError {
    let mut error = AwsError::new(400, "ConflictException", "It exists.");
    error.reason = Some("RESOURCE_ALREADY_EXISTS");
    error
}

fn invalid(message: &str) -> AwsError {
    AwsError::new(400, "ValidationException", message)
}
