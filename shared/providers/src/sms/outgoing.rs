//! What both adapters of SMS send, and what both refuse without a call.

use crate::{Content, Recipient, Refusal, SendMessageCommand};

/// A text message to a number, as both adapters send it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub to: &'a str,
    pub body: &'a str,
    pub promotional: bool,
}

/// A plain text goes as a transactional SMS.
pub(crate) fn outgoing(command: &SendMessageCommand) -> Result<Outgoing<'_>, Refusal> {
    let (body, promotional) = match &command.content {
        Content::Sms(sms) => (sms.body.as_str(), sms.promotional),
        Content::Text { body, .. } => (body.as_str(), false),
        _ => {
            return Err(Refusal::invalid_content(
                "SMS carries texts and nothing else",
            ));
        }
    };
    if body.trim().is_empty() {
        return Err(Refusal::invalid_content("sms.body is empty"));
    }
    match &command.recipient {
        Recipient::Phone(to) if command.recipient.is_e164() => Ok(Outgoing {
            to,
            body,
            promotional,
        }),
        _ => Err(Refusal::invalid_recipient(
            "the recipient is not a phone number in E.164",
        )),
    }
}

/// A price in USD as both APIs read it: up to two digits, a point, up to five.
pub(crate) fn is_price(text: &str) -> bool {
    let digits = |part: &str, limit: usize| {
        part.len() <= limit && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('.').is_some_and(|(whole, fraction)| {
        digits(whole, 2) && digits(fraction, 5) && !fraction.is_empty()
    })
}
