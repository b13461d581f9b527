//! Who wrote what came through a group.

use super::{mail, read};
use crate::mail::Mail;

fn from(headers: &str) -> Mail {
    read(format!("From: {headers}Subject: x\r\n\r\ny").as_bytes()).expect("a mail")
}

/// Name and address of who wrote.
fn wrote(mail: Mail) -> Option<(String, String)> {
    let who = mail.rewritten_from?;
    Some((who.name.unwrap_or_default(), who.address))
}

#[expect(clippy::unnecessary_wraps, reason = "what is compared with is one")]
fn is(name: &str) -> Option<(String, String)> {
    Some((name.to_owned(), "ana@example.com".to_owned()))
}

#[test]
fn a_group_that_rewrote_from_says_who_wrote() {
    let group = mail("group_sender");
    assert_eq!(group.list_post, None);
    assert_eq!(wrote(group), is("Ana García"));
    for (headers, name) in [
        (
            "'Ana' via Info <info@tren.example>\r\nX-Original-From: =?utf-8?Q?Ana_Garc=C3=ADa?= <Ana@Example.com>\r\nReply-To: Bo <bo@example.com>\r\nX-Google-Group-Id: 1\r\n",
            "Ana García",
        ),
        (
            "Info <info@tren.example>\r\nX-Original-From: Ana\r\nReply-To: ana@example.com\r\nList-Post: <mailto:INFO@tren.example?subject=x>\r\n",
            "",
        ),
        (
            "Ana via Info <bounces@groups.example>\r\nReply-To: Info <info@tren.example>, Ana <ana@example.com>\r\nList-Post: <https://groups.example/p>, <mailto:info@tren.example>\r\n",
            "Ana",
        ),
        (
            "info@tren.example\r\nSender: info@tren.example\r\nReply-To: Ana <ana@example.com>\r\nMailing-List: list info@tren.example\r\n",
            "Ana",
        ),
    ] {
        assert_eq!(wrote(from(headers)), is(name), "{headers}");
    }
}

#[test]
fn elsewhere_nobody_wrote_but_whom_from_names() {
    for headers in [
        "Ana <ana@example.com>\r\nReply-To: bo@example.com\r\nList-Id: <info.tren.example>\r\nSender: info@tren.example\r\nList-Post: <mailto:info@tren.example>\r\n",
        "Ana via Shop <shop@shop.example>\r\nReply-To: ana@example.com\r\nX-Original-From: ana@example.com\r\n",
        "Info <info@tren.example>\r\nReply-To: info@tren.example\r\nList-Post: <mailto:info@tren.example>\r\n",
        "Info <info@tren.example>\r\nList-Post: <mailto:info@tren.example>\r\n",
        "Nobody via Info\r\nReply-To: ana@example.com\r\nList-Id: <info.tren.example>\r\n",
    ] {
        assert_eq!(wrote(from(headers)), None, "{headers}");
    }
}

#[test]
fn a_group_names_where_one_writes_to_it() {
    for (header, post) in [
        ("<mailto:Info@Tren.example>", Some("info@tren.example")),
        (
            "<MAILTO:info@tren.example?subject=a:b> (all)",
            Some("info@tren.example"),
        ),
        ("mailto:info@tren.example", Some("info@tren.example")),
        ("NO (nobody writes here)", None),
        ("<https://groups.example/info@tren.example>", None),
        ("<mailto:>", None),
    ] {
        let mail = from(&format!("ana@example.com\r\nList-Post: {header}\r\n"));
        assert_eq!(mail.list_post.as_deref(), post, "{header}");
    }
}
