//! The `Message-ID` that recipients quote of an email that SES sent.
//!
//! SES replaces ours by its own id and a host of the region, which differs by region and is not promised; so an answer is
//! matched by the part before the host.

/// SES's id of the mail, which is the `external_message_id` of the message that it was; `None` for ids of others.
#[must_use]
pub fn own(message_id: &str) -> Option<&str> {
    let id = message_id.trim().trim_matches(['<', '>']);
    let (ours, host) = id.split_once('@')?;
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(".cn").unwrap_or(&host);
    let is_ses = host == "amazonses.com" || host.ends_with(".amazonses.com");
    (is_ses && !ours.is_empty()).then_some(ours)
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn answers_name_our_mails_by_any_host_of_ses() {
        for id in [
            "0100-m@email.amazonses.com",
            "<0100-m@eu-west-1.amazonses.com>",
            " 0100-m@EU-WEST-1.AmazonSES.com ",
        ] {
            assert_eq!(own(id), Some("0100-m"), "{id}");
        }
        for id in [
            "",
            "0100-m",
            "@eu-west-1.amazonses.com",
            "0100-m@mail.example",
            "0100-m@amazonses.com.evil.example",
            "0100-m@evilamazonses.com",
        ] {
            assert_eq!(own(id), None, "{id}");
        }
    }
}
