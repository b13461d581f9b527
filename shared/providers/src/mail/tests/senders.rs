//! Whose a mail may be said to be.

use super::{mail, read};
use crate::mail::Mail;
use crate::ses::is_address;

fn from(headers: &str) -> Mail {
    read(format!("{headers}\r\nSubject: x\r\n\r\ny").as_bytes()).expect("a mail")
}

fn address(mail: &Mail) -> Option<&str> {
    mail.from.as_ref().map(|from| from.address.as_str())
}

#[test]
fn one_from_with_one_mailbox_is_the_senders() {
    for (header, read) in [
        ("ana@example.com", "ana@example.com"),
        ("<ana@example.com>", "ana@example.com"),
        ("Ana García <Ana@Example.com>", "ana@example.com"),
        (
            "\"García, \\\"Ana\\\" <a@b>\" <ana@example.com>",
            "ana@example.com",
        ),
        ("=?utf-8?B?QW5h?=\r\n <ana@example.com>", "ana@example.com"),
        ("Ana\r\n\t<ana@example.com>", "ana@example.com"),
        ("ana@example.com (Ana (at home))", "ana@example.com"),
        ("(Ana) ana@example.com", "ana@example.com"),
        ("ana@example.com <ana@example.com>", "ana@example.com"),
        ("Ana <o'brien@example.com>", "o'brien@example.com"),
    ] {
        let mail = from(&format!("From: {header}"));
        assert_eq!(address(&mail), Some(read), "{header}");
        assert!(mail.from_is_sole, "{header}");
    }
    let named = from("From: ana@example.com (Ana)").from;
    assert_eq!(named.and_then(|from| from.name).as_deref(), Some("Ana"));
}

#[test]
fn nobody_vouches_for_a_from_that_may_be_read_in_two_ways() {
    for headers in [
        "From: victim@bank.example\r\nFrom: mallory@evil.example",
        "From: mallory@evil.example\r\nFrom: victim@bank.example",
        "From: victim@bank.example\r\nFr om: mallory@evil.example",
        "From: victim@bank.example, mallory@evil.example",
        "From: mallory@evil.example, Eva <victim@bank.example>",
        "From: <mallory@evil.example> <victim@bank.example>",
        "From: mallory@evil.example <victim@bank.example>",
        "From: =?utf-8?Q?<mallory@evil.example>,?= <victim@bank.example>",
        "From: Bank: victim@bank.example;",
        "From: <@evil.example:victim@bank.example>",
        "From: victim@bank.exa(mallory@evil.example)mple",
        "From: victim@bank.example (mallory@evil.example",
        "From: \"victim@bank.example\"",
        "From: <'victim@bank.example'>",
        "From: victim@ba\rnk.example",
        "From: \"victim@bank.example\"@evil.example",
        "From: mallory\r\nSender: victim@bank.example",
        "From: \"\" <>\r\nSender: victim@bank.example",
        "From: \"mal lory\"@evil.example\r\nSender: victim@bank.example",
        "Sender: victim@bank.example",
        "To: victim@bank.example",
    ] {
        assert!(!from(headers).from_is_sole, "{headers}");
    }
    assert!(!mail("sender_only").from_is_sole && !mail("no_from").from_is_sole);
    assert!(mail("names_with_quotes").from_is_sole);
    let odd = from("From: Ana@work <ana@example.com>");
    assert_eq!(
        address(&odd),
        Some("ana@example.com"),
        "still whom to answer"
    );
}

#[test]
fn a_quoted_local_part_is_read() {
    for (header, read) in [
        ("\"mallory\"@evil.example", "mallory@evil.example"),
        ("Mal <\"Mallory\"@evil.example>", "mallory@evil.example"),
        ("\"mal\\lory\"@evil.example", "mallory@evil.example"),
        ("\"john..doe\"@docomo.ne.jp", "\"john..doe\"@docomo.ne.jp"),
        ("J <\"doe.\"@docomo.ne.jp>", "\"doe.\"@docomo.ne.jp"),
    ] {
        let mail = from(&format!("From: {header}\r\nSender: victim@bank.example"));
        assert_eq!(address(&mail), Some(read), "{header}");
        assert!(mail.from_is_sole, "{header}");
        assert!(is_address(read), "it can be answered: {read}");
    }
    let odd = from("From: \"a(b\"@x.example");
    assert_eq!(address(&odd), Some("\"a(b\"@x.example"));
    assert!(
        !is_address("\"a(b\"@x.example"),
        "refused before SES is asked"
    );
    let copied = from("From: ana@example.com\r\nCc: <\"john..doe\"@docomo.ne.jp>");
    assert_eq!(copied.cc[0].address, "\"john..doe\"@docomo.ne.jp");
}
