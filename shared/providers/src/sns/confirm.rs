//! Saying yes to a subscription that SNS asks about.

use super::hosts::{self, Hosts};
use super::{Kind, VerifiedEnvelope};
use reqwest::{Client, Url};

/// Why a subscription was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    #[error("the envelope is no question about a subscription")]
    NotAsked,
    #[error("the URL to confirm at is not one of SNS in the topic's region")]
    Url,
    #[error("SNS was not reached to confirm a subscription")]
    Transport(#[source] reqwest::Error),
    #[error("SNS answered HTTP {0} to a confirmation")]
    Refused(u16),
}

/// Where to say yes. The topic is one of ours, or the envelope would not be verified; the token in it lives three days.
///
/// # Errors
///
/// [`ConfirmError::NotAsked`] for other kinds of envelope, [`ConfirmError::Url`] for another host than SNS's.
pub fn confirm_url(envelope: &VerifiedEnvelope) -> Result<Url, ConfirmError> {
    let envelope = envelope.envelope();
    if envelope.kind != Kind::SubscriptionConfirmation {
        return Err(ConfirmError::NotAsked);
    }
    envelope
        .subscribe_url
        .as_deref()
        .and_then(|url| hosts::url_of(url, &envelope.topic_arn))
        .ok_or(ConfirmError::Url)
}

/// Confirms a subscription. Doing so twice does no harm.
///
/// # Errors
///
/// [`ConfirmError`]; the caller answers 503, and SNS asks again.
pub async fn confirm(
    http: &Client,
    hosts: &Hosts,
    envelope: &VerifiedEnvelope,
) -> Result<(), ConfirmError> {
    let url = hosts.locate(&confirm_url(envelope)?);
    let transport = |error: reqwest::Error| ConfirmError::Transport(error.without_url());
    let answer = http.get(url).send().await.map_err(transport)?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(ConfirmError::Refused(answer.status().as_u16()))
    }
}
