//! Configuration sets, and the topics that their destinations tell. It tells nothing itself: tests do, by `aws_tells`.

use super::{Answered, AwsError, HOME, Sms, exists, invalid, missing};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many a configuration set has at most.
const DESTINATIONS: usize = 5;

#[derive(Debug, Clone)]
pub(super) struct Destination {
    enabled: bool,
    events: Vec<String>,
    topic: String,
}

/// A topic of this account and region. AWS looks whether it is there; which ones are, nobody tells the simulator.
pub(super) fn check_topic(arn: &str) -> Result<(), AwsError> {
    let name = arn.strip_prefix(&format!("arn:aws:sns:{HOME}:"));
    match name {
        Some(name) if !name.is_empty() && !name.contains(':') => Ok(()),
        _ => Err(invalid("No such topic.")),
    }
}

/// `None` where there is none; destinations of other kinds are not played.
fn topic(body: &Value) -> Result<Option<String>, AwsError> {
    let Some(arn) = body["SnsDestination"]["TopicArn"].as_str() else {
        return Ok(None);
    };
    check_topic(arn)?;
    Ok(Some(arn.to_owned()))
}

fn events(body: &Value) -> Result<Vec<String>, AwsError> {
    let listed = body["MatchingEventTypes"].as_array();
    let listed = listed.map(Vec::as_slice).unwrap_or_default();
    let of_texts = |event: &Value| {
        let event = event.as_str().filter(|event| *event != "TEXT_SENT")?;
        (event == "ALL" || event.starts_with("TEXT_")).then(|| event.to_owned())
    };
    let events: Option<Vec<String>> = listed.iter().map(of_texts).collect();
    events.ok_or_else(|| invalid("No such type of event."))
}

impl Sms {
    pub(super) fn create_set(&mut self, body: &Value) -> Answered {
        let name = body["ConfigurationSetName"].as_str().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
            return Err(invalid("No name."));
        }
        if self.sets.contains_key(name) {
            return Err(exists());
        }
        self.sets.insert(name.to_owned(), BTreeMap::new());
        Ok(json!({
            "ConfigurationSetArn": format!("arn:aws:sms-voice:{HOME}:configuration-set/{name}"),
            "ConfigurationSetName": name,
            "CreatedTimestamp": 1_763_900_000,
        }))
    }

    pub(super) fn create_destination(&mut self, body: &Value) -> Answered {
        let name = body["EventDestinationName"].as_str().unwrap_or_default();
        let set = body["ConfigurationSetName"].as_str().unwrap_or_default();
        let destinations = self.sets.get_mut(set).ok_or_else(missing)?;
        let (events, topic) = (events(body)?, topic(body)?);
        let Some(topic) = topic.filter(|_| !name.is_empty() && !events.is_empty()) else {
            return Err(invalid("No name, no event or no topic."));
        };
        if destinations.contains_key(name) {
            return Err(exists());
        }
        if destinations.len() >= DESTINATIONS {
            let code = "ServiceQuotaExceededException";
            return Err(AwsError::new(400, code, "Five at most."));
        }
        let destination = Destination {
            enabled: true,
            events,
            topic,
        };
        let answer = described(set, name, &destination);
        destinations.insert(name.to_owned(), destination);
        Ok(answer)
    }

    /// What is not named stays as it is.
    pub(super) fn update_destination(&mut self, body: &Value) -> Answered {
        let name = body["EventDestinationName"].as_str().unwrap_or_default();
        let set = body["ConfigurationSetName"].as_str().unwrap_or_default();
        let destinations = self.sets.get_mut(set).ok_or_else(missing)?;
        let destination = destinations.get_mut(name).ok_or_else(missing)?;
        let (events, topic) = (events(body)?, topic(body)?);
        if let Some(topic) = topic {
            destination.topic = topic;
        }
        if !events.is_empty() {
            destination.events = events;
        }
        if let Some(enabled) = body["Enabled"].as_bool() {
            destination.enabled = enabled;
        }
        Ok(described(set, name, destination))
    }

    pub(crate) fn text_events(&self, set: &str) -> Vec<String> {
        let destinations = self.sets.get(set).into_iter().flat_map(|of| of.values());
        let all = ["ALL", "TEXT_ALL"];
        let telling = destinations.filter(|destination| {
            let mut events = destination.events.iter();
            destination.enabled && events.any(|event| all.contains(&&**event))
        });
        telling.map(|telling| telling.topic.clone()).collect()
    }

    pub(crate) fn silence(&mut self, set: &str) {
        let destinations = self.sets.get_mut(set).into_iter();
        for destination in destinations.flat_map(|of| of.values_mut()) {
            destination.enabled = false;
        }
    }
}

fn described(set: &str, name: &str, destination: &Destination) -> Value {
    json!({
        "ConfigurationSetArn": format!("arn:aws:sms-voice:{HOME}:configuration-set/{set}"),
        "ConfigurationSetName": set,
        "EventDestination": {
            "EventDestinationName": name, "Enabled": destination.enabled,
            "MatchingEventTypes": destination.events,
            "SnsDestination": { "TopicArn": destination.topic },
        },
    })
}
