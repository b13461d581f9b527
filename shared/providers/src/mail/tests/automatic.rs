//! Programs that write, and reports that a mail did not arrive.

use super::{mail, read, written};
use crate::mail::{Automatic, Mail};

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
        ("group_sender", Automatic::No),
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
            "Auto-Submitted: auto-replied; x=y\r\n",
            Automatic::AutoReply,
        ),
        ("Auto-Submitted: Auto-Notified\r\n", Automatic::AutoReply),
        ("Auto-Submitted: NO (really)\r\n", Automatic::No),
        ("Precedence: auto_reply\r\n", Automatic::AutoReply),
        ("X-Autoreply-From: a@b.example\r\n", Automatic::AutoReply),
        ("X-Mail-Autoreply: yes\r\n", Automatic::AutoReply),
        ("", Automatic::No),
    ] {
        assert_eq!(written(headers, "x").automatic, automatic, "{headers}");
    }
}

#[test]
fn a_mail_of_ours_says_which_message_it_is() {
    let own = mail("our_own").loop_of;
    assert_eq!(own.as_deref(), Some("01935b2e7c1a70008000000000000001"));
    let long = format!("X-Communications-Loop:  {}\r\n", "é".repeat(100));
    let long = written(&long, "x");
    assert_eq!(long.loop_of, Some("é".repeat(64)));
    assert_eq!(
        long.automatic,
        Automatic::No,
        "whose it was says nothing of who sent it"
    );
    let empty = written("X-Communications-Loop: \r\n", "x");
    assert_eq!(empty.loop_of, None);
    assert_eq!(mail("no_subject").loop_of, None);
}

/// They ask that no machine answers, and stand above what people write.
#[test]
fn what_came_by_a_group_a_rule_or_a_server_is_a_persons() {
    for headers in [
        "X-Auto-Response-Suppress: All\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Auto-Submitted: auto-forwarded\r\n",
        "Precedence: list\r\n",
        "Precedence: bulk\r\n",
        "Precedence: junk\r\n",
        "List-Id: x\r\n",
        "List-Unsubscribe: <https://shop.example/u>\r\n",
        "Precedence: bulk\r\nList-Id: x\r\n",
        "Precedence: list\r\nMailing-list: list info@tren.example; contact info+owners@tren.example\r\nList-ID: <info.tren.example>\r\nX-Google-Group-Id: 1\r\nList-Post: <mailto:info@tren.example>\r\nList-Unsubscribe: <mailto:u@tren.example>\r\n",
        "Precedence: bulk\r\nList-Post: <mailto:info@tren.example>\r\nList-Unsubscribe: <mailto:u@tren.example>\r\n",
        "Precedence: bulk\r\nMailing-List: contact u@tren.example; run by ezmlm\r\nList-Unsubscribe: <mailto:u@tren.example>\r\n",
        "Precedence: bulk\r\nIn-Reply-To: <x@tren.example>\r\nList-Unsubscribe: <mailto:u@tren.example>\r\n",
    ] {
        assert_eq!(written(headers, "x").automatic, Automatic::No, "{headers}");
    }
}

#[test]
fn a_newsletter_goes_to_many_and_can_be_ended() {
    for headers in [
        "Precedence: bulk\r\nList-Unsubscribe: <https://shop.example/u>\r\n",
        "Precedence: Bulk\r\nList-Id: <news.shop.example>\r\nList-Unsubscribe: <https://shop.example/u>\r\n",
        "Precedence: junk\r\nList-Post: NO (nobody writes here)\r\nList-Unsubscribe: <https://shop.example/u>\r\n",
    ] {
        assert_eq!(
            written(headers, "x").automatic,
            Automatic::List,
            "{headers}"
        );
    }
}

/// A mail with the parts of a report, whatever it is itself.
fn with_status(headers: &str) -> Mail {
    let parts = "--b\r\n\r\nLook what came.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; gone@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--";
    let raw = format!("{headers}\r\n\r\n{parts}");
    read(raw.as_bytes()).expect("a mail")
}

#[test]
fn who_passes_a_report_on_is_a_person() {
    for headers in [
        "Return-Path: <ana@example.com>\r\nFrom: Ana <ana@example.com>\r\nContent-Type: multipart/mixed; boundary=b",
        "From: Ana <ana@example.com>\r\nContent-Type: multipart/mixed; boundary=b",
    ] {
        assert_eq!(with_status(headers).automatic, Automatic::No, "{headers}");
    }
    for headers in [
        "Return-Path: <ana@example.com>\r\nFrom: ana@example.com\r\nContent-Type: multipart/report; boundary=b",
        "Return-Path: <>\r\nFrom: noreply@example.com\r\nContent-Type: multipart/mixed; boundary=b",
        "Return-Path: <x@example.com>\r\nFrom: Postmaster@example.com\r\nContent-Type: multipart/mixed; boundary=b",
        "From: MAILER-DAEMON (Mail Delivery System)\r\nContent-Type: multipart/mixed; boundary=b",
    ] {
        assert_eq!(
            with_status(headers).automatic,
            Automatic::Bounce,
            "{headers}"
        );
    }
}
