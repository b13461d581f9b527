//! What comes back: the events of texts that were sent, and what people write to a number. Both go to a topic of ours.
//!
//! AWS says nothing about a text that was sent without a configuration set, and nothing about one whose set has no destination. That it
//! may publish to the topic says the topic's own policy: no role is handed on, for events as for what people write.
//!
//! Source: `CreateConfigurationSet`, `CreateEventDestination`, `UpdateEventDestination` and `UpdatePhoneNumber` of pinpoint-sms-voice-v2;
//! "Topic policies for Amazon SNS topics", End User Messaging SMS user guide.

use super::{Answered, EXISTS, EumProvisioner, fault, faults, reason};
use aws_sdk_pinpointsmsvoicev2::types::{EventType, SnsDestination};

/// Of the destination, in every configuration set.
const DESTINATION: &str = "communications";

impl EumProvisioner {
    /// A configuration set of that name, made if it is not there. Without [`Self::ensure_events`] it tells nothing.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn ensure_configuration_set(&self, name: &str) -> Answered<()> {
        let request = self.0.create_configuration_set();
        match request.configuration_set_name(name).send().await {
            Err(error) if reason(&error).as_deref() != Some(EXISTS) => {
                Err(fault("CreateConfigurationSet", &error))
            }
            _ => Ok(()),
        }
    }

    /// Has whatever becomes of a text of the configuration set told to an SNS topic. A destination of ours that is there already, with
    /// another topic or switched off, is brought to that.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says; a set that is not there is [`crate::FaultClass::WrongInput`].
    pub async fn ensure_events(&self, set: &str, topic_arn: &str) -> Answered<()> {
        const OPERATION: &str = "CreateEventDestination";
        let topic = SnsDestination::builder().topic_arn(topic_arn).build();
        let topic = topic.map_err(|_| faults::ours(OPERATION, "invalid-topic"))?;
        let created = self
            .0
            .create_event_destination()
            .configuration_set_name(set)
            .event_destination_name(DESTINATION)
            .matching_event_types(EventType::TextAll)
            .sns_destination(topic.clone())
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error) if reason(&error).as_deref() == Some(EXISTS) => self
                .0
                .update_event_destination()
                .configuration_set_name(set)
                .event_destination_name(DESTINATION)
                .enabled(true)
                .matching_event_types(EventType::TextAll)
                .sns_destination(topic)
                .send()
                .await
                .map(drop)
                .map_err(|error| fault("UpdateEventDestination", &error)),
            Err(error) => Err(fault(OPERATION, &error)),
        }
    }

    /// Has what people write to a number told to an SNS topic.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says. Not every country and kind of number can hear: that is [`crate::FaultClass::WrongInput`].
    pub async fn hear_at(&self, number_id: &str, topic_arn: &str) -> Answered<()> {
        self.0
            .update_phone_number()
            .phone_number_id(number_id)
            .two_way_enabled(true)
            .two_way_channel_arn(topic_arn)
            .send()
            .await
            .map(drop)
            .map_err(|error| fault("UpdatePhoneNumber", &error))
    }
}
