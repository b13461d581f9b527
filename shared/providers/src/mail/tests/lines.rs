//! HTML without a text beside it: read as it looks, line by line, so that quotes and signatures are found in it too.

use super::written;
use crate::mail::Mail;

fn html(source: &str) -> Mail {
    written("Content-Type: text/html; charset=utf-8\r\n", source)
}

fn assert_reads(source: &str, text: &str) {
    assert_eq!(html(source).text, text, "{source}");
}

#[test]
fn what_begins_a_line_on_the_page_begins_one_here() {
    assert_reads(
        "<div>Hola,</div><div>Recogida: Atocha</div>",
        "Hola,\nRecogida: Atocha",
    );
    assert_reads(
        "<div><div>a</div><section>b</section>c<br>d<address>e</address></div>",
        "a\nb\nc\nd\ne",
    );
    assert_reads("<div>a<br></div><div>b</div>", "a\nb");
    assert_reads("a <b>b</b><i>c</i>\r\n <span>\n d</span> e", "a bc d e");
    assert_reads("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb");
    assert_reads("a<hr>b", "a\n________________________________\nb");
}

#[test]
fn an_empty_line_is_never_two() {
    assert_reads("<p>a</p>\r\n<p>b</p><p></p><p>&nbsp;</p>c", "a\n\nb\n\nc");
    assert_reads("<h1>a</h1>b<h2>c</h2>", "a\n\nb\n\nc");
    assert_reads(
        "<div>a</div><div><br></div><div><br></div><div>b</div>",
        "a\n\nb",
    );
    assert_reads("<br><br>a<br><br><br>b<br><br>", "a\n\nb");
    assert_reads("<div></div><p> </p>", "");
}

#[test]
fn a_row_is_a_line_and_its_cells_are_apart() {
    assert_reads(
        "<table><tr><th>Pickup</th><td>Atocha</td></tr>\r\n<tr><th>Time</th> <td>10:00</td></tr></table>",
        "Pickup  Atocha\nTime  10:00",
    );
    assert_reads(
        "<p>Trip</p><table><tr><td><p>Pickup</p></td><td><div><p>Atocha<br></p></div></td></tr><tr><td><p>Time</p></td><td></td><td><br></td><td><p>10:00</p></td></tr></table><p>Ana</p>",
        "Trip\n\nPickup  Atocha\nTime  10:00\n\nAna",
    );
    assert_reads(
        "<table><tr><td>a<br>b</td><td>c</td></tr><tr><td><table><tr><td>d</td><td>e</td></tr></table></td><td>f</td></tr></table>g",
        "a\nb\nc\nd  e  f\ng",
    );
}

#[test]
fn lists_and_quotes_have_their_signs() {
    assert_reads(
        "Bring:<ul><li>a</li><li><p>b</p></li><li></li></ul>and<ol><li>c<br>d</li></ol>",
        "Bring:\n- a\n\n- b\n\nand\n- c\nd",
    );
    assert_reads(
        "a<blockquote>b<br><br>c<blockquote><p>d</p><p>e</p></blockquote>f</blockquote>g",
        "a\n> b\n>\n> c\n>\n> > d\n> >\n> > e\n>\n> f\ng",
    );
    let deep = format!("{}a", "<blockquote>".repeat(50));
    assert_reads(&deep, &format!("{}a", "> ".repeat(8)));
}

#[test]
fn words_are_as_they_look() {
    assert_reads(
        "a &lt;b&gt; &amp;amp; c&nbsp;&nbsp;d &euro;&#241;&#xf1; &",
        "a <b> &amp; c d €ññ &",
    );
    assert_reads(
        "<pre>a  b\r\n\r\n\r\n  c\t1\r\n</pre>d  e",
        "a  b\n\n  c\t1\nd e",
    );
    assert_reads(
        r#"<a href="https://example.com/?a>b" title="alt=">Ticket</a> <img title="x alt=" src="cid:x" alt="Plan &gt; B"><img src="cid:y">"#,
        "Ticket Plan > B",
    );
    assert_reads("a<style>b{}</style><script>c</script><!-- d -->", "a");
}

#[test]
fn what_is_new_of_a_page() {
    for (source, new) in [
        (
            r#"<div dir="ltr">Gracias.</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Mon, Nov 23, 2026 at 10:00 AM Avisos &lt;<a href="mailto:avisos@tren.example">avisos@tren.example</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex"><div dir="ltr">Su tren<br></div></blockquote></div>"#,
            "Gracias.",
        ),
        (
            r#"<div class="gmail_quote"><div class="gmail_attr">El lun, 23 nov 2026 a las 10:00, Avisos (&lt;<a href="mailto:a@b.example">a@b.example</a>&gt;) escribió:<br></div><blockquote>Su tren</blockquote></div><div>Gracias.</div>"#,
            "Gracias.",
        ),
        (
            r"<div class=WordSection1><p class=MsoNormal>Gracias.<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><div style='border-top:solid #E1E1E1 1.0pt'><p class=MsoNormal><b>De:</b> Avisos &lt;avisos@tren.example&gt;<br><b>Enviado el:</b> lunes, 23 de noviembre de 2026 10:00<br><b>Para:</b> Ana<br><b>Asunto:</b> Su tren<o:p></o:p></p></div><p class=MsoNormal>Su tren</p></div>",
            "Gracias.",
        ),
        (
            r#"<div>Gracias.</div><hr style="display:inline-block;width:98%"><div id="divRplyFwdMsg"><font><b>From:</b> Avisos &lt;avisos@tren.example&gt;<br><b>Sent:</b> Monday<br><b>To:</b> Ana<br><b>Subject:</b> Su tren</font></div><div>Su tren</div>"#,
            "Gracias.",
        ),
        (
            r#"Gracias.<div><br><blockquote type="cite"><div>On 23 Nov 2026, at 10:00, Avisos &lt;avisos@tren.example&gt; wrote:</div><br class="Apple-interchange-newline"><div>Su tren</div></blockquote></div>"#,
            "Gracias.",
        ),
        (
            r#"<div>Gracias.</div><br id="lineBreakAtBeginningOfSignature"><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote type="cite">On 23 Nov 2026, at 10:00, Avisos wrote:<br><br></blockquote></div><blockquote type="cite"><div>Su tren</div></blockquote>"#,
            "Gracias.",
        ),
        ("<div>STOP</div><div>-- </div><div>Ana</div>", "STOP"),
        ("<p>STOP</p><p>Enviado desde mi iPhone</p>", "STOP"),
    ] {
        assert_eq!(html(source).visible_text, new, "{source}");
    }
}

#[test]
fn deep_and_long_pages_cost_what_they_weigh() {
    let cells = html(&format!(
        "<table>{}",
        "<tr><td>x<blockquote><br>y".repeat(2_000)
    ));
    assert!(cells.text.len() < 200_000, "{}", cells.text.len());
    let lines = html(&format!("<blockquote><pre>{}", "x\n".repeat(100_000)));
    assert!(
        lines.text.starts_with("> x\n> x") && lines.cut,
        "it is longer as a text"
    );
    // A break in a cell is none, and looks at nothing.
    let blanks = html(&format!(
        "<table><tr><td><pre>{}</pre></td><td><pre>{}x",
        " ".repeat(120_000),
        "\n".repeat(120_000)
    ));
    assert_eq!(blanks.text, "x");
}
