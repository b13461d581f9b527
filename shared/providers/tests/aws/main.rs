//! The adapters for AWS against a server on this machine that answers as AWS does, or does worse.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on should say why and stop"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test plays the outside world, with servers of its own"
)]

mod envelopes;
mod eum;
mod loopback;
mod provision;
mod ses;
mod sns;
mod transport;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sesv2::config::{Credentials, SharedCredentialsProvider};
use comms_providers::{Accepted, Content, Recipient, Refusal, SendMessageCommand, SendOutcome};
use serde_json::Value;
use uuid::Uuid;

fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    anonymous(url)
        .to_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// Without credentials no call can be signed.
fn anonymous(url: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("eu-west-1"))
        .endpoint_url(url)
        .build()
}

fn command(recipient: Recipient, content: Value) -> SendMessageCommand {
    let content: Content = serde_json::from_value(content).expect("a typed content");
    SendMessageCommand {
        correlation_id: Uuid::from_u128(0x0193_5b2e_7c1a_7000_8000_0000_0000_0001),
        recipient,
        content,
        reply_to: None,
        expires_in: None,
    }
}

fn sms(body: &str) -> SendMessageCommand {
    let content = serde_json::json!({ "type": "sms", "body": body });
    command(Recipient::Phone("+34600111222".to_owned()), content)
}

fn accepted(outcome: SendOutcome) -> Accepted {
    match outcome {
        SendOutcome::Accepted(accepted) => accepted,
        SendOutcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn refused(outcome: SendOutcome) -> Refusal {
    match outcome {
        SendOutcome::Refused(refusal) => refusal,
        SendOutcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}
