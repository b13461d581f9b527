//! SES's notice that a mail came: who it is for, what the checks said, and where the mail itself lies.
//!
//! Whose it is follows from the recipients of the envelope, Bcc included; `mail.destination` and the headers are what the
//! sender wrote.
//!
//! Source: "Contents of notifications for Amazon SES email receiving", SES developer guide.

use crate::event::mail::{DmarcPolicy, MailBody, MailNotice, Verdict, Verdicts};
use crate::json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Of one mail; SES takes 500 at most.
const RECIPIENTS: usize = 500;

/// Reads the notice; the error says what is wrong with it.
///
/// # Errors
///
/// A line fit for people, without anything of the mail.
pub fn read(notice: &Value) -> Result<MailNotice, &'static str> {
    let external_message_id =
        json::id(notice, "/mail/messageId").ok_or("the mail has no usable id")?;
    let recipients = recipients(json::list(notice, "/receipt/recipients"));
    if recipients.is_empty() {
        return Err("the mail has no recipient");
    }
    let received_at = ["/receipt/timestamp", "/mail/timestamp"]
        .iter()
        .find_map(|pointer| json::instant(json::text(notice, pointer)?))
        .ok_or("the mail has no readable time")?;
    let envelope_from = json::text(notice, "/mail/source").and_then(address);
    Ok(MailNotice {
        external_message_id,
        recipients,
        is_from_nobody: envelope_from.is_none() && names_nobody(notice),
        envelope_from,
        verdicts: verdicts(notice),
        body: body(notice)?,
        received_at,
    })
}

fn recipients(list: &[Value]) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for recipient in list.iter().take(RECIPIENTS) {
        if let Some(address) = recipient.as_str().and_then(address)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

/// `None` for `<>`, `MAILER-DAEMON` without a domain, and whatever else cannot be written to.
fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    let (local, domain) = text.rsplit_once('@')?;
    let plain = !text.contains(char::is_whitespace) && text.len() <= 320;
    (plain && !local.is_empty() && !domain.is_empty()).then(|| text.to_lowercase())
}

/// Without brackets or with them; what is not there at all says nothing.
fn names_nobody(notice: &Value) -> bool {
    ["/mail/source", "/mail/commonHeaders/returnPath"]
        .iter()
        .filter_map(|pointer| notice.pointer(pointer)?.as_str())
        .any(|path| path.trim_matches(['<', '>', ' ']).is_empty())
}

fn verdicts(notice: &Value) -> Verdicts {
    let verdict = |name: &str| match json::text(notice, &format!("/receipt/{name}/status")) {
        Some("PASS") => Verdict::Pass,
        Some("FAIL") => Verdict::Fail,
        Some("GRAY") => Verdict::Gray,
        Some("PROCESSING_FAILED") => Verdict::ProcessingFailed,
        Some("DISABLED") => Verdict::Disabled,
        _ => Verdict::Unknown,
    };
    let policy = json::text(notice, "/receipt/dmarcPolicy").map(str::to_ascii_lowercase);
    Verdicts {
        spam: verdict("spamVerdict"),
        virus: verdict("virusVerdict"),
        spf: verdict("spfVerdict"),
        dkim: verdict("dkimVerdict"),
        dmarc: verdict("dmarcVerdict"),
        dmarc_policy: match policy.as_deref() {
            Some("none") => Some(DmarcPolicy::None),
            Some("quarantine") => Some(DmarcPolicy::Quarantine),
            Some("reject") => Some(DmarcPolicy::Reject),
            _ => None,
        },
    }
}

/// A rule may store the mail, or put it into the notice; by Lambda alone it would come without one.
fn body(notice: &Value) -> Result<MailBody, &'static str> {
    let bucket = json::text(notice, "/receipt/action/bucketName");
    let key = json::text(notice, "/receipt/action/objectKey");
    if let (Some(bucket), Some(key)) = (bucket, key) {
        return Ok(MailBody::Stored {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        });
    }
    let content = json::text(notice, "/content")
        .ok_or("the notice neither has the mail nor says where it lies")?;
    let encoding = json::text(notice, "/receipt/action/encoding").unwrap_or_default();
    if encoding.eq_ignore_ascii_case("base64") {
        let compact: String = content.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(compact)
            .map_err(|_| "the mail in the notice is not base64")?;
        return Ok(MailBody::Inline(bytes));
    }
    Ok(MailBody::Inline(content.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests;
