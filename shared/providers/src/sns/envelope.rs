//! The envelope that SNS puts around a message.
//!
//! The same members come as the body of an HTTP request, as the body of an SQS record and inside the record of a Lambda
//! event; only the spelling of the URLs differs. An envelope that was read is a claim: only
//! [`super::VerifiedEnvelope`] may be acted on.
//!
//! Source: "HTTP/HTTPS notification JSON format", SNS developer guide.

use crate::json;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

/// See the module. Texts stand here as they were signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Envelope {
    #[serde(rename = "Type")]
    pub kind: Kind,
    pub message_id: String,
    pub topic_arn: String,
    #[serde(default)]
    pub subject: Option<String>,
    pub message: String,
    pub timestamp: String,
    // A queue's own policy is proof enough, so what only HTTPS needs may be missing.
    #[serde(default)]
    pub signature_version: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default, rename = "SigningCertURL", alias = "SigningCertUrl")]
    pub signing_cert_url: Option<String>,
    #[serde(default, rename = "SubscribeURL", alias = "SubscribeUrl")]
    pub subscribe_url: Option<String>,
    #[serde(default)]
    pub token: Option<String>,
}

/// What SNS wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    Notification,
    /// We were subscribed, and are asked whether we want to be.
    SubscriptionConfirmation,
    /// Somebody ended our subscription: a person must hear of it. Never to be answered by subscribing again.
    UnsubscribeConfirmation,
}

impl Kind {
    /// As SNS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "Notification",
            Self::SubscriptionConfirmation => "SubscriptionConfirmation",
            Self::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        }
    }
}

/// The text is no envelope of SNS. What it is instead is left out: it may be somebody's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no envelope of SNS")]
pub struct NotAnEnvelope;

impl Envelope {
    /// Reads the body of an HTTP request, whatever its content type says (SNS says `text/plain`), or of an SQS record.
    ///
    /// # Errors
    ///
    /// [`NotAnEnvelope`]; a queue may also have been given the bare message ("raw delivery"), which then is the body.
    pub fn from_body(body: &[u8]) -> Result<Self, NotAnEnvelope> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        serde_json::from_slice(body).map_err(|_| NotAnEnvelope)
    }

    /// Reads one of the `Records` of a Lambda event, or its member `Sns`.
    ///
    /// # Errors
    ///
    /// [`NotAnEnvelope`].
    pub fn from_record(record: &Value) -> Result<Self, NotAnEnvelope> {
        let envelope = record.get("Sns").unwrap_or(record);
        Deserialize::deserialize(envelope).map_err(|_| NotAnEnvelope)
    }

    /// When SNS took the message over; `None` where that is no instant.
    #[must_use]
    pub fn sent_at(&self) -> Option<OffsetDateTime> {
        json::instant(&self.timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members() -> Value {
        json!({
            "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Subject": null,
            "Message": "{}", "Timestamp": "2026-11-23T10:00:00.000Z", "SignatureVersion": "1", "Signature": "c2ln",
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.pem", "UnsubscribeURL": "https://x",
            "MessageAttributes": {"a": {"Type": "String", "Value": "b"}},
        })
    }

    #[test]
    fn the_same_envelope_comes_in_three_ways() {
        let body = Envelope::from_body(members().to_string().as_bytes()).expect("a body");
        assert_eq!(body.kind, Kind::Notification);
        assert_eq!(body.subject, None);
        assert_eq!(
            body.sent_at().map(OffsetDateTime::unix_timestamp),
            Some(1_795_428_000)
        );

        let mut record = members();
        let url = record
            .as_object_mut()
            .and_then(|members| members.remove("SigningCertURL"));
        record["SigningCertUrl"] = url.expect("was there");
        record["UnsubscribeUrl"] = json!("https://x");
        let lambda = json!({"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": record});
        assert_eq!(Envelope::from_record(&lambda).expect("a record"), body);
        assert_eq!(Envelope::from_record(&record).expect("its member"), body);

        let bom = ["\u{feff}", &members().to_string()].concat();
        assert_eq!(
            Envelope::from_body(bom.as_bytes()).expect("with a BOM"),
            body
        );
    }

    #[test]
    fn a_confirmation_has_its_token() {
        let mut asked = members();
        asked["Type"] = json!("SubscriptionConfirmation");
        asked["Token"] = json!("tok");
        asked["SubscribeURL"] =
            json!("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription");
        let envelope = Envelope::from_body(asked.to_string().as_bytes()).expect("a body");
        assert_eq!(envelope.kind, Kind::SubscriptionConfirmation);
        assert_eq!(envelope.token.as_deref(), Some("tok"));
        assert!(envelope.subscribe_url.is_some());
    }

    #[test]
    fn other_texts_are_none() {
        for other in [
            "",
            "Successfully validated SNS topic",
            "{}",
            "[]",
            "null",
            r#"{"Type":"Notification"}"#,
        ] {
            assert_eq!(
                Envelope::from_body(other.as_bytes()),
                Err(NotAnEnvelope),
                "{other}"
            );
        }
        let mut strange = members();
        strange["Type"] = json!("Something");
        assert_eq!(Envelope::from_record(&strange), Err(NotAnEnvelope));
        assert_eq!(Envelope::from_body(b"\xff\xfe{}"), Err(NotAnEnvelope));
    }
}
