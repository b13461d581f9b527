//! What was written: as text in every charset, and as HTML that does nothing.

use super::{mail, written};
use crate::mail::TEXT_LIMIT;

#[test]
fn texts_in_every_charset() {
    for (name, text) in [
        ("latin1", "¿Dónde está mi tren?"),
        ("shift_jis", "日本語ぬ"),
        ("koi8", "Привет"),
        ("unknown_charset", "Hello ÿ there"),
        ("pgp_signed", "Signed words."),
        (
            "apple_inline_without_cid",
            "Before the picture\n\nAfter the picture",
        ),
        ("calendar_invite", "You are invited."),
        ("mail_in_mail", "Look at this."),
        ("layers_that_never_end", "Look at this."),
    ] {
        let read = mail(name).text;
        let read: Vec<&str> = read.split('\n').filter(|line| !line.is_empty()).collect();
        let text: Vec<&str> = text.split('\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(read, text, "{name}");
    }
    assert!(
        !written("", "a\0b").text.contains('\0'),
        "Postgres takes no NUL"
    );
}

#[test]
fn who_does_not_say_in_which_characters_is_read_as_they_mean_it() {
    let plain = "Content-Type: text/plain\r\n";
    let ascii = "Content-Type: text/plain; charset=us-ascii\r\n";
    let quoted = "Content-Transfer-Encoding: quoted-printable\r\n";
    let base64 = "Content-Transfer-Encoding: base64\r\n";
    let page = "Content-Type: text/html\r\n";
    for (headers, sent, said) in [
        (String::new(), &b"A\xf1o \x80 5"[..], "Año € 5"),
        (plain.to_owned(), b"A\xf1o", "Año"),
        (plain.to_owned(), "Año".as_bytes(), "Año"),
        (ascii.to_owned(), "Año".as_bytes(), "Año"),
        (ascii.to_owned(), b"A\xf1o", "Año"),
        (format!("{plain}{quoted}"), b"A=F1o", "Año"),
        (format!("{plain}{base64}"), b"QfFv\r\n", "Año"),
        (page.to_owned(), b"<p>A\xf1o", "Año"),
        (
            page.to_owned(),
            b"<meta charset=\"koi8-r\"><p>\xf0\xd2\xc9",
            "При",
        ),
        (page.to_owned(), b"<meta charset=utf-8><p>A\xf1o", "Año"),
    ] {
        let mut raw = format!("From: ana@example.com\r\n{headers}\r\n").into_bytes();
        raw.extend_from_slice(sent);
        let mail = super::read(&raw).unwrap();
        assert_eq!(mail.text.trim(), said, "{headers}{sent:?}");
        assert!(
            mail.html.is_none_or(|html| html.contains(said)),
            "{headers}"
        );
    }
}

#[test]
fn html_is_read_as_text_where_there_is_no_other() {
    let html = mail("html_only");
    assert!(html.text.contains("Hello there"), "{}", html.text);
    assert!(
        !html.text.contains("alert") && !html.text.contains("color:red"),
        "{}",
        html.text
    );
}

/// Programs that write HTML put an empty text beside it.
#[test]
fn an_empty_text_is_none() {
    let parts = "--a\r\nContent-Type: text/plain\r\n\r\n \r\n--a\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n--a--";
    let mail = written("Content-Type: multipart/alternative; boundary=a\r\n", parts);
    assert_eq!(mail.text, "Hello");
    assert!(mail.html.is_some());
}

/// What was attached, named or said to be so stays a file.
#[test]
fn a_mail_that_ends_before_its_closing_line_says_what_it_says() {
    let unclosed = |headers: &str| {
        crate::mail::read(format!(
            "From: a@b.example\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n{headers}\r\n\r\nSTOP\r\n"
        ).as_bytes()).expect("a mail")
    };
    assert_eq!(unclosed("Content-Type: text/plain").text, "STOP");
    assert_eq!(unclosed("Content-Type: text/html").text, "STOP");
    for headers in [
        "Content-Type: text/plain; name=a.txt",
        "Content-Type: text/plain\r\nContent-Disposition: attachment",
    ] {
        assert_eq!(unclosed(headers).text, "", "{headers}");
    }
}

#[test]
fn html_does_nothing_by_itself() {
    let html = mail("html_only").html.expect("HTML");
    for bad in [
        "script",
        "alert",
        "javascript",
        "onload",
        "style",
        "iframe",
        "form",
        "input",
        "svg",
        "evil",
    ] {
        assert!(!html.contains(bad), "{bad} in {html}");
    }
    assert!(
        html.contains(r#"data-src="https://tracker.example/p.png?u=1""#),
        "{html}"
    );
    assert!(!html.contains(r#" src="http"#), "{html}");
    assert!(
        html.contains(r#" src="data:image/png;base64,AAAA""#),
        "{html}"
    );
    assert!(
        html.contains("<b>there</b>") && html.contains(r#"href="https://example.com/x""#),
        "{html}"
    );
    assert!(html.contains("noopener noreferrer"), "{html}");
    let cid = mail("inline_image_and_pdf").html.expect("HTML");
    assert!(cid.contains(r#"src="cid:pic@1""#), "{cid}");
    assert_eq!(mail("no_subject").html, None);
}

#[test]
fn html_that_tries() {
    for (source, bad) in [
        (
            r#"<a href="data:text/html,<script>x</script>">a</a>"#,
            "data:",
        ),
        (r#"<a href=" JaVaScRiPt:alert(1)">a</a>"#, "cript:"),
        (r#"<a href="cid:x">a</a>"#, "cid:"),
        (r#"<img src="x" onerror="alert(1)">"#, "onerror"),
        (r#"<img src="//tracker.example/p.png">"#, "tracker"),
        (
            r#"<img srcset="https://tracker.example/p.png 2x">"#,
            "tracker",
        ),
        (r#"<img src=" HTTPS://tracker.example/p.png">"#, " src=\""),
        (
            r#"<table background="https://tracker.example/p.png"><tr><td>x</td></tr></table>"#,
            "tracker",
        ),
        (
            r#"<video poster="https://tracker.example/p.png" src="https://tracker.example/v"></video>"#,
            "tracker",
        ),
        (
            r#"<link rel="stylesheet" href="https://tracker.example/c.css">"#,
            "tracker",
        ),
        (
            r#"<meta http-equiv="refresh" content="0;url=https://tracker.example">"#,
            "tracker",
        ),
        (r#"<base href="https://tracker.example/">"#, "tracker"),
        (
            r"<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
            "onerror",
        ),
        (
            r"<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "onerror=alert(1)>",
        ),
        ("<!--><script>alert(1)</script>-->", "<script"),
    ] {
        let html = written("Content-Type: text/html\r\n", &format!("<p>x</p>{source}"))
            .html
            .expect("HTML");
        assert!(!html.contains(bad), "{source} became {html}");
    }
}

#[test]
fn what_is_new_of_a_mail() {
    let outlook = mail("outlook_inline");
    assert_eq!(
        outlook.visible_text,
        "Gracias.\n\n[cid:image001.png@01DB0000.00000000]"
    );
    assert!(
        outlook.text.contains("Su tren sale tarde."),
        "the whole text is kept"
    );
    let forwarded = "Please handle.\r\n\r\nFrom: Bo <b@c.example>\r\nSent: Monday\r\nSubject: Trip\r\n\r\nTwo to Atocha.";
    let forwarded = written("Subject: =?utf-8?Q?FW=3A_Trip?=\r\n", forwarded);
    assert_eq!(forwarded.visible_text, forwarded.text);
}

/// Everything is shown then, and the subject is all that its sender had to say.
#[test]
fn a_mail_with_nothing_new() {
    for text in [
        "Enviado desde mi iPhone",
        "-- \r\nAna",
        "> Su tren\r\n> sale tarde.",
        "On 1/2/2026 Bo <b@c.example> wrote:\r\n> x",
        "",
    ] {
        let mail = written("Subject: STOP\r\n", text);
        assert!(!mail.has_new_text, "{text}");
        assert_eq!(mail.visible_text, mail.text, "{text}");
    }
    let mail = written("Subject: Re: x\r\n", "STOP\r\n\r\nEnviado desde mi iPhone");
    assert!(mail.has_new_text);
    assert_eq!(mail.visible_text, "STOP");
}

/// Whole, it took more than a minute: for each element the parser looks through all that are open.
#[test]
fn html_that_would_take_for_ever_is_cut() {
    let read = written("Content-Type: text/html\r\n", &"<div>".repeat(20_000));
    assert!(read.cut && read.html.is_some());
}

/// A photograph that a program wrote into the HTML is longer than all that is read of a mail.
#[test]
fn words_behind_a_long_picture_are_read() {
    let base64 = "QUJD\r\n".repeat(TEXT_LIMIT / 4);
    let plain = base64.replace("\r\n", "");
    for picture in [
        format!(r#"<img src="data:image/png;base64,{base64}" alt="Plan">"#),
        format!("<img alt=Plan src = 'DATA:image/jpeg;base64,{base64}'>"),
        format!("<img src=data:image/png;base64,{plain} alt=Plan>"),
        format!(r#"<p style="background:url(data:image/png;base64,{plain})">Plan"#),
        format!(r#"<p style="background:url( 'data:image/png;base64,{base64}')">Plan"#),
        format!(r#"<style>a {{ src: url("data:font/woff;base64,{base64}") }}</style><p>Plan"#),
    ] {
        let source = format!("<p>Hola</p>{picture}<p>Recogida: <b>Atocha</b></p>");
        let read = written("Content-Type: text/html\r\n", &source);
        let start = source.get(..60).unwrap_or_default();
        assert_eq!(read.text, "Hola\n\nPlan\n\nRecogida: Atocha", "{start}");
        assert!(read.cut, "{start}");
        let html = read.html.expect("HTML");
        assert!(html.contains("Recogida: <b>Atocha</b>"), "{html}");
        assert!(!html.contains("QUJD") && html.len() < 500, "{html}");
    }
}

#[test]
fn a_picture_in_one_part_takes_no_room_from_the_next() {
    let base64 = "QUJD".repeat(TEXT_LIMIT / 4);
    let parts = format!(
        "--a\r\nContent-Type: text/html\r\n\r\n<p>Hola</p><img src=\"data:image/png;base64,{base64}\">\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>Atocha</p>\r\n--a--"
    );
    let read = written("Content-Type: multipart/mixed; boundary=a\r\n", &parts);
    assert_eq!(read.text, "Hola\nAtocha");
    assert!(read.html.is_some_and(|html| html.contains("<p>Atocha</p>")));
}

#[test]
fn pictures_that_fit_stay() {
    let base64 = "QUJD".repeat(TEXT_LIMIT / 8);
    let picture =
        format!(r#"<p>Personal data: none</p><img src="data:image/png;base64,{base64}">"#);
    let read = written("Content-Type: text/html\r\n", &picture);
    assert!(!read.cut && read.html.is_some_and(|html| html.contains(&base64)));
    let small = r#"<img src="data:image/png;base64,QUJD">"#;
    let words = "Personal data: none. ".repeat(TEXT_LIMIT / 20);
    let read = written(
        "Content-Type: text/html\r\n",
        &format!("{small}<p>{words}</p>"),
    );
    let html = read.html.expect("HTML");
    assert!(read.cut && html.contains(small) && html.len() < TEXT_LIMIT + 100);
}

/// A quote that a program has broken is whole again before anybody looks for its beginning.
#[test]
fn lines_that_a_program_has_broken_are_whole() {
    let text = "Sí, a las ocho en la puerta \r\nprincipal.\r\n\r\nEl lun, 23 nov 2026, Operador <hola@example.com> \r\nescribió:\r\n> ¿Dónde \r\n> espera?\r\n";
    let flowed = |more| {
        let kind = format!("Content-Type: text/plain; charset=utf-8; format=Flowed{more}\r\n");
        written(&kind, text)
    };
    assert_eq!(
        flowed("").text,
        "Sí, a las ocho en la puerta principal.\n\nEl lun, 23 nov 2026, Operador <hola@example.com> escribió:\n> ¿Dónde espera?"
    );
    assert_eq!(
        flowed("").visible_text,
        "Sí, a las ocho en la puerta principal."
    );
    assert!(
        flowed("; DelSp=yes")
            .text
            .starts_with("Sí, a las ocho en la puertaprincipal.")
    );
    let fixed = written("Content-Type: text/plain; charset=utf-8\r\n", text);
    assert!(
        fixed
            .text
            .starts_with("Sí, a las ocho en la puerta \nprincipal.")
    );
}
