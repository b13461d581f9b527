//! What is new in a mail: its text without the mails that it quotes and without a signature.
//!
//! For showing, and for what somebody wishes of us; the whole text is kept beside it. So it is careful: an answer between the
//! lines of a quote keeps the quote, a forwarded mail is news, and so is what a mail that answers nothing has above words without signs: a
//! form on the tenant's pages begins its lines as a quoted mail does.

mod marks;

use marks::Mark;

/// Lines that a signature has at most; what is longer was written to be read.
const SIGNATURE_LINES: usize = 15;

/// The new part; empty where there is nothing new. Outlook marks what it sends on by the subject alone, and some what they answer.
pub(super) fn new_part(text: &str, subject: Option<&str>, names_an_older: bool) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_answer = names_an_older || subject.is_some_and(marks::is_answer);
    let answer = if subject.is_some_and(marks::is_forward) {
        lines
    } else {
        without_history(&lines, is_answer)
    };
    without_signature(&answer).join("\n").trim().to_owned()
}

fn without_history<'a>(lines: &[&'a str], is_answer: bool) -> Vec<&'a str> {
    for at in 0..lines.len() {
        let begins = at == 0 || lines[at - 1].trim().is_empty();
        match marks::at(&lines[at..], begins, is_answer) {
            Some(Mark::Forwarded) => return lines.to_vec(),
            Some(Mark::History) if is_blank(&lines[..at]) => return lines.to_vec(),
            Some(Mark::History) => return lines[..at].to_vec(),
            Some(Mark::Wrote { lines: length }) => return around(lines, at, length),
            None => {}
        }
    }
    let own = without_quoted_end(lines);
    // What is no answer quotes what it speaks of; Apple's programs quote their own line with the rest.
    if is_answer || is_blank(&own) || begins_within(&lines[own.len()..]) {
        own
    } else {
        lines.to_vec()
    }
}

fn begins_within(quoted: &[&str]) -> bool {
    let unquoted = quoted
        .iter()
        .map(|line| line.trim_start_matches(['>', ' ']));
    let unquoted: Vec<&str> = unquoted.skip_while(|line| line.is_empty()).collect();
    marks::announced(&unquoted).is_some()
}

/// What stands around a line such as `On Monday Ana wrote:`, which is `length` lines long.
fn around<'a>(lines: &[&'a str], at: usize, length: usize) -> Vec<&'a str> {
    let (before, after) = (&lines[..at], &lines[at + length..]);
    let Some(first) = after.iter().position(|line| !line.trim().is_empty()) else {
        return before.to_vec();
    };
    if !is_quoted(after[first]) {
        // Some programs put no signs before the lines that they quote: all of it is history, unless it is all there is.
        return if is_blank(before) {
            lines.to_vec()
        } else {
            before.to_vec()
        };
    }
    let quoted = after[first..]
        .iter()
        .take_while(|line| is_quoted(line) || line.trim().is_empty())
        .count();
    let own = &after[first + quoted..];
    let own_has_quotes = own.iter().any(|line| is_quoted(line));
    match (is_blank(before), is_blank(own)) {
        (_, true) => before.to_vec(),
        // Written below the quote.
        (true, false) if !own_has_quotes => own.to_vec(),
        // Written in between.
        (_, false) if own_has_quotes => lines.to_vec(),
        (_, false) => [before, own].concat(),
    }
}

/// Quoted lines at the end that nobody introduced.
fn without_quoted_end<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let quoted = lines
        .iter()
        .rev()
        .take_while(|line| is_quoted(line) || line.trim().is_empty())
        .count();
    let (own, end) = lines.split_at(lines.len() - quoted);
    let between = own.iter().any(|line| is_quoted(line));
    if between || !end.iter().any(|line| is_quoted(line)) {
        lines.to_vec()
    } else {
        own.to_vec()
    }
}

fn without_signature<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut kept = lines.to_vec();
    if let Some(at) = lines.iter().rposition(|line| marks::is_signature(line))
        && lines.len() - at <= SIGNATURE_LINES
    {
        kept.truncate(at);
    }
    let last = kept.iter().rposition(|line| !line.trim().is_empty());
    if let Some(last) = last
        && marks::is_advertisement(kept[last])
    {
        kept.truncate(last);
    }
    kept
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn is_blank(lines: &[&str]) -> bool {
    lines.iter().all(|line| line.trim().is_empty())
}

#[cfg(test)]
mod tests;
