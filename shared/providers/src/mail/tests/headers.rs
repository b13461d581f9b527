//! Who, when, and in answer to what.

use super::{mail, written};

#[test]
fn ids_that_a_mail_answers() {
    let several = mail("several_in_reply_to");
    assert_eq!(
        several.in_reply_to,
        ["a@x.example", "b@x.example", "c@x.example"]
    );
    let folded = mail("references_folded");
    assert_eq!(folded.in_reply_to, ["0100-m@eu-west-1.amazonses.com"]);
    assert_eq!(
        folded.references,
        [
            "first@mail.example",
            "second@mail.example",
            "0100-m@eu-west-1.amazonses.com"
        ],
        "each once, oldest first"
    );
    let bare = mail("references_without_brackets");
    assert_eq!(bare.references, ["one@x.example", "two@x.example"]);
    assert!(bare.in_reply_to.is_empty(), "words are no id");
}

#[test]
fn a_mail_has_one_id_or_none() {
    assert_eq!(
        mail("no_subject").message_id.as_deref(),
        Some("m1@mail.example")
    );
    assert_eq!(mail("no_message_id").message_id, None);
    assert_eq!(
        mail("several_message_ids").message_id.as_deref(),
        Some("m1@mail.example"),
        "the first"
    );
    assert_eq!(
        mail("malformed_message_id").message_id.as_deref(),
        Some("m1@mail.example")
    );
    assert_eq!(
        written(&format!("Message-ID: <{}@x>\r\n", "a".repeat(600)), "").message_id,
        None
    );
    let long: Vec<String> = (0..300).map(|n| format!(" <{n}@x>\r\n")).collect();
    let long = written(&format!("References:\r\n{}", long.concat()), "").references;
    assert_eq!(
        (long.len(), long.last().map(String::as_str)),
        (100, Some("299@x")),
        "the latest"
    );
    // Read in a moment, or this test would take an hour.
    let many: Vec<String> = (0..400_000).map(|n| format!(" <{n}@x>\r\n")).collect();
    let many = written(&format!("References:\r\n{}", many.concat()), "").references;
    assert_eq!(many.last().map(String::as_str), Some("399999@x"));
}

#[test]
fn people_as_they_write_themselves() {
    let from = |name: &str| {
        mail(name)
            .from
            .map(|from| (from.name.unwrap_or_default(), from.address))
    };
    let ana = |name: &str| Some((name.to_owned(), "ana@example.com".to_owned()));
    assert_eq!(from("no_subject"), ana("Ana García"));
    assert_eq!(from("latin1"), ana("Ana García"));
    assert_eq!(from("names_with_quotes"), ana("García \"Anita\", Ana"));
    assert_eq!(from("empty_names"), ana(""));
    assert_eq!(
        from("uppercase_address"),
        Some(("Ana García".to_owned(), "ana.garcia@example.com".to_owned()))
    );
    assert_eq!(from("no_from"), None);
    assert_eq!(
        from("sender_only"),
        Some(("Bo".to_owned(), "bo@example.com".to_owned()))
    );
    assert_eq!(from("bounce_without_from"), None);
    let group = mail("group_sender");
    assert_eq!(
        group.from.map(|from| from.address).as_deref(),
        Some("viajes@groups.example")
    );
    assert_eq!(
        group.reply_to[0].address, "ana@example.com",
        "who really wrote"
    );
}

#[test]
fn recipients_that_cannot_be_written_to_are_passed_over() {
    let to =
        |name: &str| -> Vec<String> { mail(name).to.into_iter().map(|to| to.address).collect() };
    assert_eq!(to("no_subject"), ["reply+abc234@in.tren.example"]);
    assert!(
        to("broken_to")
            .iter()
            .all(|address| address.contains('@') && !address.contains(['<', ','])),
        "{:?}",
        to("broken_to")
    );
    assert!(
        to("broken_to").contains(&"good@in.tren.example".to_owned()),
        "{:?}",
        to("broken_to")
    );
    assert!(to("undisclosed").is_empty());
    assert!(to("bcc_only").is_empty());
    assert_eq!(to("forwarder"), ["info@tren.example"]);
}

#[test]
fn a_group_has_people_in_it() {
    let group = written(
        "To: Friends: Bo <bo@example.com>, cy@example.com;\r\nCc: dee@example.com\r\n",
        "",
    );
    let to: Vec<&str> = group.to.iter().map(|to| to.address.as_str()).collect();
    assert_eq!(to, ["bo@example.com", "cy@example.com"]);
    assert_eq!(group.cc[0].address, "dee@example.com");
}

#[test]
fn a_subject_is_read_as_it_was_written() {
    assert_eq!(mail("latin1").subject.as_deref(), Some("Re: “Su tren”"));
    assert_eq!(mail("no_subject").subject, None);
    assert_eq!(written("Subject: \r\n", "").subject, None);
    let torn = written("Subject: =?utf-8?B?w7HD?= =?utf-8?B?sQ==?=\r\n", "");
    assert_eq!(torn.subject.as_deref(), Some("ññ"));
}
