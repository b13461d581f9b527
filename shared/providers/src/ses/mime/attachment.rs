//! Attachments: decoded, named, and none that SES would refuse for what it could do on the recipient's machine.

use crate::Refusal;
use crate::command::Attachment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_builder::mime::MimePart;

/// SES takes 500 MIME parts; the texts and what holds them together are four.
const COUNT_LIMIT: usize = 496;
const NAME_LIMIT: usize = 255;

/// Endings of files that run; SES refuses the whole message for one of them.
const REFUSED: &[&str] = &[
    "ade", "adp", "app", "asp", "bas", "bat", "cer", "chm", "cmd", "com", "cpl", "crt", "csh",
    "der", "exe", "fxp", "gadget", "hlp", "hta", "inf", "ins", "isp", "its", "js", "jse", "ksh",
    "lib", "lnk", "mad", "maf", "mag", "mam", "maq", "mar", "mas", "mat", "mau", "mav", "maw",
    "mda", "mdb", "mde", "mdt", "mdw", "mdz", "msc", "msh", "msh1", "msh1xml", "msh2", "msh2xml",
    "mshxml", "msi", "msp", "mst", "ops", "pcd", "pif", "plg", "prf", "prg", "ps1", "ps1xml",
    "ps2", "ps2xml", "psc1", "psc2", "reg", "scf", "scr", "sct", "shb", "shs", "sys", "tmp", "url",
    "vb", "vbe", "vbs", "vps", "vsmacros", "vss", "vst", "vsw", "vxd", "ws", "wsc", "wsf", "wsh",
    "xnk",
];

pub(super) fn parts(attachments: &[Attachment]) -> Result<Vec<MimePart<'_>>, Refusal> {
    if attachments.len() > COUNT_LIMIT {
        return Err(Refusal::invalid_content(format!(
            "email.attachments has more than {COUNT_LIMIT} entries"
        )));
    }
    attachments.iter().map(part).collect()
}

fn part(attachment: &Attachment) -> Result<MimePart<'_>, Refusal> {
    let invalid = |fault: &str| {
        Err(Refusal::invalid_content(format!(
            "email.attachments.{fault}"
        )))
    };
    let name = attachment.filename.trim();
    if name.is_empty() || name.chars().count() > NAME_LIMIT {
        return invalid("filename is empty or longer than 255 characters");
    }
    if name.contains(|c: char| c.is_control() || c == '/' || c == '\\') {
        return invalid("filename has control characters or slashes");
    }
    if is_refused(name) {
        return invalid("filename has an ending of programs, which SES refuses");
    }
    if !is_media_type(&attachment.content_type) {
        return invalid("content_type is not of the form type/subtype");
    }
    match STANDARD.decode(&attachment.data) {
        Ok(data) => Ok(MimePart::new(attachment.content_type.as_str(), data).attachment(name)),
        Err(_) => invalid("data is not base64"),
    }
}

/// Windows ignores dots and spaces behind the ending, so they do not hide it.
fn is_refused(name: &str) -> bool {
    let name = name.trim_end_matches(['.', ' ']);
    name.rsplit_once('.')
        .is_some_and(|(_, ending)| REFUSED.contains(&ending.to_ascii_lowercase().as_str()))
}

fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        (1..=127).contains(&part.len())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    // A part that holds parts would have to be encoded by other rules.
    text.split_once('/').is_some_and(|(kind, subtype)| {
        is_token(kind)
            && is_token(subtype)
            && !kind.eq_ignore_ascii_case("multipart")
            && !kind.eq_ignore_ascii_case("message")
    })
}
