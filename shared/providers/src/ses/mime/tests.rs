//! One whole email as it leaves, read back by another library, and everything that could slip into a header.

use super::*;
use crate::command::Attachment;
use crate::{Content, Recipient};
use base64::Engine as _;
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use uuid::Uuid;

const TO: &str = "ana@example.com";

fn sender() -> SesSender {
    SesSender {
        from_address: "avisos@tren.example".to_owned(),
        from_name: Some("Ferrocarriles, S. A. «Añil»".to_owned()),
        reply_domain: Some("in.tren.example".to_owned()),
        reply_to: Some("reply+abc234@in.tren.example".to_owned()),
        unsubscribe_url: Some("https://tren.example/u/".to_owned()),
        ..SesSender::default()
    }
}

fn email() -> Email {
    Email {
        subject: "Su tren sale con 20 min de retraso · vía 4".to_owned(),
        text: Some("Hola, Ana:\nsu tren sale a las 10:20.\n".to_owned()),
        html: Some("<p>Hola, Ana:<br>su tren sale a las <b>10:20</b>.</p>".to_owned()),
        attachments: vec![pdf("billete nº 42.pdf")],
        unsubscribable: true,
    }
}

fn pdf(filename: &str) -> Attachment {
    Attachment {
        filename: filename.to_owned(),
        content_type: "application/pdf".to_owned(),
        data: base64::engine::general_purpose::STANDARD.encode("%PDF-1.7 no más"),
    }
}

fn command(email: &Email) -> SendMessageCommand {
    SendMessageCommand {
        correlation_id: Uuid::from_u128(0x0193_5b2e_7c1a_7000_8000_0000_0000_0001),
        recipient: Recipient::Email(TO.to_owned()),
        content: Content::Email(email.clone()),
        reply_to: Some("<CAF=x+1@mail.example>".to_owned()),
        expires_in: None,
    }
}

fn written(sender: &SesSender, email: &Email) -> String {
    let raw = write(sender, &command(email), email, TO).expect("an email that can be sent");
    String::from_utf8(raw).expect("an encoded message is text")
}

fn refused(sender: &SesSender, email: &Email) -> String {
    let refusal = write(sender, &command(email), email, TO).expect_err("a refusal");
    format!("{}: {}", refusal.code, refusal.reason)
}

/// Everything but the date, which is the clock's and replaced by SES.
fn without_date(raw: &str) -> String {
    raw.split("\r\n")
        .map(|line| {
            if line.starts_with("Date: ") {
                "Date: (now)"
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_whole_email() {
    insta::assert_snapshot!(without_date(&written(&sender(), &email())));
}

#[test]
fn another_library_reads_the_same() {
    let raw = written(&sender(), &email());
    let read = MessageParser::default()
        .parse(raw.as_bytes())
        .expect("a message");
    let from = read.from().and_then(|from| from.first()).expect("a sender");
    assert_eq!(from.name(), sender().from_name.as_deref());
    assert_eq!(from.address(), Some("avisos@tren.example"));
    assert_eq!(read.subject(), Some(email().subject.as_str()));
    let text = read.body_text(0).expect("a text").replace("\r\n", "\n");
    assert_eq!(
        Some(text.trim_end()),
        email().text.as_deref().map(str::trim_end)
    );
    assert_eq!(read.body_html(0).as_deref(), email().html.as_deref());
    let attachment = read.attachment(0).expect("an attachment");
    assert_eq!(attachment.attachment_name(), Some("billete nº 42.pdf"));
    assert_eq!(attachment.contents(), "%PDF-1.7 no más".as_bytes());
    assert_eq!(read.in_reply_to().as_text(), Some("CAF=x+1@mail.example"));
    let reply_to = read.reply_to().and_then(|to| to.first());
    assert_eq!(
        reply_to.and_then(|to| to.address()),
        Some("reply+abc234@in.tren.example")
    );
}

#[test]
fn what_is_not_needed_is_not_there() {
    let bare = SesSender {
        from_address: "a@b.example".to_owned(),
        ..SesSender::default()
    };
    let plain = Email {
        subject: "Hola".to_owned(),
        text: Some("Hola".to_owned()),
        ..Email::default()
    };
    let raw = write(
        &bare,
        &SendMessageCommand {
            reply_to: None,
            ..command(&plain)
        },
        &plain,
        TO,
    )
    .expect("an email");
    let raw = String::from_utf8(raw).expect("text");
    assert!(raw.contains("Content-Type: text/plain"), "{raw}");
    for absent in [
        "Reply-To",
        "List-Unsubscribe",
        "In-Reply-To",
        "References",
        "multipart",
    ] {
        assert!(!raw.contains(absent), "{absent} in {raw}");
    }
    let html = Email {
        text: Some(" ".to_owned()),
        html: Some("<p>Hola</p>".to_owned()),
        ..plain
    };
    assert!(written(&bare, &html).contains("Content-Type: text/html"));
}

#[test]
fn unsubscribing_by_mail_alone_is_no_one_click() {
    let by_mail = SesSender {
        unsubscribe_url: None,
        ..sender()
    };
    let raw = written(&by_mail, &email());
    assert!(raw.contains("<mailto:unsubscribe+01935b2e7c1a70008000000000000001@in.tren.example>"));
    assert!(!raw.contains("List-Unsubscribe-Post"));
    let neither = SesSender {
        reply_domain: None,
        ..by_mail
    };
    assert_eq!(
        refused(&neither, &email()),
        "invalid-sender: the account has neither unsubscribe_url nor reply_domain, and the email must have one"
    );
}

#[test]
fn an_answer_to_a_strange_id_is_sent_without_it() {
    for strange in ["", "<>", "a b", "x\r\nBcc: eve@example.com", "<a><b>"] {
        let answering = SendMessageCommand {
            reply_to: Some(strange.to_owned()),
            ..command(&email())
        };
        let raw = write(&sender(), &answering, &email(), TO).expect("an email");
        let raw = String::from_utf8(raw).expect("text");
        assert!(
            !raw.contains("In-Reply-To") && !raw.contains("Bcc"),
            "{raw}"
        );
    }
    assert_eq!(message_id(" <a@b> "), Some("a@b"));
    assert_eq!(message_id("a@b"), Some("a@b"));
}

#[test]
fn attachments_that_ses_refuses_are_refused_here() {
    let with = |attachment: Attachment| Email {
        attachments: vec![attachment],
        ..email()
    };
    for name in ["a.exe", "a.EXE", "a.pdf.js", "a.scr. .", "run.PS1"] {
        let reason = refused(&sender(), &with(pdf(name)));
        assert!(reason.contains("ending of programs"), "{name}: {reason}");
    }
    for name in [
        "",
        " ",
        "a\r\nb.pdf",
        "../a.pdf",
        "a\\b.pdf",
        &"a".repeat(256),
    ] {
        assert!(refused(&sender(), &with(pdf(name))).contains("filename"));
    }
    for content_type in [
        "",
        "pdf",
        "application/pdf; name=x",
        "a/b\r\nBcc: x",
        "message/rfc822",
        "Multipart/mixed",
    ] {
        let other = Attachment {
            content_type: content_type.to_owned(),
            ..pdf("a.pdf")
        };
        assert!(refused(&sender(), &with(other)).contains("content_type"));
    }
    let garbage = Attachment {
        data: "%%%".to_owned(),
        ..pdf("a.pdf")
    };
    assert!(refused(&sender(), &with(garbage)).contains("not base64"));
    for name in ["exe", "a.pdf", "archivo.json", "js.txt"] {
        written(&sender(), &with(pdf(name)));
    }
}

#[test]
fn sizes_and_empty_texts_are_refused() {
    let email = |change: fn(&mut Email)| {
        let mut email = email();
        change(&mut email);
        email
    };
    let mut heavy = email(|_| ());
    heavy.text = Some("a\r\n".repeat(SIZE_LIMIT / 3));
    assert!(refused(&sender(), &heavy).contains("larger than 40 MB"));
    let many = email(|email| email.attachments = vec![email.attachments[0].clone(); 497]);
    assert!(refused(&sender(), &many).contains("more than 496 entries"));
    let silent = email(|email| (email.text, email.html) = (None, Some("\n".to_owned())));
    assert!(refused(&sender(), &silent).contains("both empty"));
    let unnamed = email(|email| email.subject = "\r\n".to_owned());
    assert!(refused(&sender(), &unnamed).contains("subject is empty"));
}

#[test]
fn addresses_and_urls_that_are_none_are_refused() {
    for bad in [
        "",
        "a",
        "@b.example",
        "a@",
        "a@b@c",
        "a b@c.example",
        "a@b.example\r\nBcc: eve@example.com",
        "<a@b.example>",
        "a@b.example, c@d.example",
        "ñ@b.example",
        "a@bücher.example",
        "\"\"@b.example",
        "\"a b\"@c.example",
        "\"a@b.example",
        "\"a\"b\"@c.example",
    ] {
        assert!(!is_address(bad), "{bad:?}");
    }
    for bad in [
        "",
        "http://a.example",
        "https://",
        "https://a b",
        "https://a.example/?x",
        "https://a>",
    ] {
        let sender = SesSender {
            unsubscribe_url: Some(bad.to_owned()),
            ..sender()
        };
        assert!(
            refused(&sender, &email()).starts_with("invalid-sender"),
            "{bad}"
        );
    }
    let elsewhere = SesSender {
        reply_domain: Some("a.example>\r\nBcc: x".to_owned()),
        ..sender()
    };
    assert!(refused(&elsewhere, &email()).starts_with("invalid-sender"));
    let answered_elsewhere = SesSender {
        reply_to: Some("a@b.example>\r\nBcc: x@y.example".to_owned()),
        ..sender()
    };
    assert!(refused(&answered_elsewhere, &email()).starts_with("invalid-sender: reply_to"));
}

#[test]
fn a_local_part_in_quotes_stands_as_it_is_in_the_header() {
    let to = "\"john..doe\"@docomo.ne.jp";
    assert!(is_address(to));
    let email = email();
    let raw = write(&sender(), &command(&email), &email, to).expect("an email");
    let raw = String::from_utf8(raw).expect("text");
    assert!(
        raw.contains("\r\nTo: <\"john..doe\"@docomo.ne.jp>\r\n"),
        "{raw}"
    );
}

proptest! {
    /// Whatever a subject, a name or a file is called, the headers are those that we wrote.
    #[test]
    fn no_text_makes_a_header_of_its_own(
        subject in "\\PC{0,30}(\r|\n|\r\n|\u{0}|\u{2028})Bcc: eve@example.com\\PC{0,30}",
        name in "(\\PC|[\r\n\"<>,;]){0,40}",
        filename in "(\\PC|[\"<>,;]){1,40}",
    ) {
        let sender = SesSender { from_name: Some(name), ..sender() };
        let email = Email { subject, attachments: vec![pdf(&format!("{}.pdf", filename.replace(['/', '\\'], "")))], ..email() };
        let Ok(raw) = write(&sender, &command(&email), &email, TO) else { return Ok(()) };
        let raw = String::from_utf8(raw).expect("text");
        let (head, _) = raw.split_once("\r\n\r\n").expect("a body");
        let names: Vec<&str> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').map_or(line, |(name, _)| name))
            .collect();
        prop_assert_eq!(names, [
            "From", "To", "Subject", "Message-ID", "Reply-To", "In-Reply-To", "References",
            "X-Communications-Loop", "List-Unsubscribe", "List-Unsubscribe-Post", "Date", "MIME-Version", "Content-Type",
        ]);
        let broken = head.replace("\r\n", "").contains(char::is_control);
        prop_assert!(!broken);
    }
}
