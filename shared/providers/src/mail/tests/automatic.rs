//! Programs that write, and reports that a mail did not arrive.

use super::{mail, written};
use crate::mail::{Automatic, BouncedRecipient};

#[test]
fn programs_are_told_from_people() {
    for (name, automatic) in [
        ("auto_reply_submitted", Automatic::AutoReply),
        ("auto_reply_by_habit", Automatic::AutoReply),
        ("read_receipt", Automatic::AutoReply),
        ("null_return_path", Automatic::AutoReply),
        ("bounce_gmail", Automatic::Bounce),
        ("bounce_headers_only", Automatic::Bounce),
        ("bounce_without_from", Automatic::Bounce),
        ("bounce_plain", Automatic::Bounce),
        ("newsletter", Automatic::List),
        ("group_sender", Automatic::List),
        ("our_own", Automatic::Loop),
        ("person_says_no", Automatic::No),
        ("forwarder", Automatic::No),
        ("mail_in_mail", Automatic::No),
        ("pgp_signed", Automatic::No),
        ("no_subject", Automatic::No),
    ] {
        assert_eq!(mail(name).automatic, automatic, "{name}");
    }
    for (headers, automatic) in [
        (
            "Auto-Submitted: auto-generated; x=y\r\n",
            Automatic::AutoReply,
        ),
        ("Auto-Submitted: NO (really)\r\n", Automatic::No),
        ("Precedence: junk\r\n", Automatic::List),
        ("Precedence: auto_reply\r\n", Automatic::AutoReply),
        ("X-Auto-Response-Suppress: OOF\r\n", Automatic::AutoReply),
        ("List-Id: x\r\n", Automatic::List),
        ("", Automatic::No),
    ] {
        assert_eq!(written(headers, "x").automatic, automatic, "{headers}");
    }
}

fn recipient(address: &str, action: &str, status: &str) -> BouncedRecipient {
    BouncedRecipient {
        address: address.to_owned(),
        action: Some(action.to_owned()),
        status: (!status.is_empty()).then(|| status.to_owned()),
    }
}

#[test]
fn a_report_says_which_mail_and_whom() {
    let gmail = mail("bounce_gmail").bounce.expect("a report");
    assert_eq!(
        gmail.original_message_id.as_deref(),
        Some("0100-m@eu-west-1.amazonses.com")
    );
    assert_eq!(
        gmail.recipients,
        [
            recipient("gone@example.com", "failed", "5.1.1"),
            recipient("late@example.com", "delayed", "4.2.2")
        ]
    );
    let headers = mail("bounce_headers_only").bounce.expect("a report");
    assert_eq!(
        headers.original_message_id.as_deref(),
        Some("0100-h@eu-west-1.amazonses.com")
    );
    assert_eq!(
        headers.recipients,
        [recipient("gone@example.com", "failed", "5.7.1")]
    );
    let plain = mail("bounce_without_from").bounce.expect("a report");
    assert_eq!(
        (plain.original_message_id, plain.recipients),
        (None, vec![recipient("gone@example.com", "failed", "")])
    );
    assert_eq!(mail("mail_in_mail").bounce, None);
}
