//! HTML as a text that reads as the page looks: line by line.
//!
//! Quotes, signatures and wishes are found by lines, so what begins a line on the page begins one here, and what stands in a
//! `blockquote` has the signs of a quote. Reads only what was made safe: there every tag is closed, attributes stand in double
//! quotes, and neither scripts nor comments are left.

use mail_parser::decoders::html::add_html_token;

/// Layers of quotes that are shown: deeper ones would make each line as long as there are layers.
const DEPTH: usize = 8;
/// Between the cells of a row: two spaces look the same wherever a text is shown, and a tab does not.
const CELL: &str = "  ";
/// What Outlook writes for a line across the page when it makes a text itself.
const RULE: &str = "________________________________";
/// Bytes; the names of entities are shorter.
const ENTITY: usize = 40;

/// The text of safe HTML: no empty lines at its ends, and nowhere two in a row.
pub(super) fn text(safe: &str) -> String {
    let mut page = Page::default();
    let mut rest = safe;
    while let Some((words, behind)) = rest.split_once('<') {
        page.say(&decoded(words));
        let Some((tag, behind)) = end_of_tag(behind) else {
            return page.finish();
        };
        page.tag(tag);
        rest = behind;
    }
    page.say(&decoded(rest));
    page.finish()
}

/// What lies between the last word and the next; of several wishes the later one in this list counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Space,
    /// Of a row: nothing but words ends it, so that a paragraph in a cell breaks no row.
    Cell,
    Line,
    /// An empty line.
    Paragraph,
}

#[derive(Debug, Default)]
struct Page {
    /// Lines that are written.
    text: String,
    /// The line that is being written, without the signs of a quote.
    line: String,
    /// Is there more in it than blanks? Asked for at every break, which may be all that a mail has.
    has_words: bool,
    /// Does an empty line come before it?
    apart: bool,
    next: Gap,
    /// The next word is the first of a list's item.
    item: bool,
    /// How deep in `blockquote`, now and in the last line that is written.
    quotes: usize,
    last_quotes: usize,
    /// How deep in `pre`.
    verbatim: usize,
    /// How many lines are written.
    lines: usize,
    /// For each table's row that is open: how many lines were written before it.
    rows: Vec<usize>,
}

impl Page {
    fn tag(&mut self, tag: &str) {
        let name = tag
            .split([' ', '/'])
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        if tag.starts_with('/') {
            self.close(name);
        } else {
            self.open(name, tag);
        }
    }

    fn open(&mut self, name: &str, tag: &str) {
        match name {
            "br" => self.empty_line(),
            "img" => self.say(&decoded(attribute(tag, "alt"))),
            "hr" => {
                self.next = self.next.max(Gap::Line);
                self.say(RULE);
                self.next = Gap::Line;
            }
            "li" => {
                self.next = self.next.max(Gap::Line);
                self.item = true;
            }
            "tr" => {
                self.end_line();
                self.rows.push(self.lines);
            }
            "td" | "th" => {
                // A cell of several lines stands alone.
                let is_one_line = self.rows.last() == Some(&self.lines);
                self.next = if is_one_line {
                    Gap::Cell
                } else {
                    self.next.max(Gap::Line)
                };
            }
            "blockquote" => {
                self.end_line();
                self.quotes += 1;
            }
            "pre" => {
                self.block(Gap::Line);
                self.verbatim += 1;
            }
            _ => self.block(gap(name)),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "td" | "th" => self.next = self.next.min(Gap::Line),
            "tr" => {
                self.rows.pop();
                self.next = Gap::Line;
            }
            "li" => {
                self.item = false;
                self.block(Gap::Line);
            }
            "blockquote" => {
                self.end_line();
                self.quotes = self.quotes.saturating_sub(1);
            }
            "pre" => {
                self.verbatim = self.verbatim.saturating_sub(1);
                self.block(Gap::Line);
            }
            _ => self.block(gap(name)),
        }
    }

    fn block(&mut self, gap: Gap) {
        if self.next != Gap::Cell {
            self.next = self.next.max(gap);
        }
    }

    /// The second break in a row leaves an empty line.
    fn empty_line(&mut self) {
        let is_second = self.next >= Gap::Line || !self.has_words;
        self.block(if is_second { Gap::Paragraph } else { Gap::Line });
    }

    fn say(&mut self, words: &str) {
        for c in words.chars() {
            if self.verbatim > 0 && c == '\n' {
                self.empty_line();
            } else if self.verbatim == 0 && c.is_whitespace() {
                self.next = self.next.max(Gap::Space);
            } else {
                self.begin();
                self.line.push(c);
                self.has_words |= !c.is_whitespace();
            }
        }
    }

    /// Makes the gap before a word.
    fn begin(&mut self) {
        match self.next {
            Gap::None => {}
            Gap::Space | Gap::Cell if self.line.is_empty() => {}
            Gap::Space => self.line.push(' '),
            Gap::Cell => self.line.push_str(CELL),
            Gap::Line | Gap::Paragraph => self.end_line(),
        }
        self.next = Gap::None;
        if self.item && self.line.is_empty() {
            self.line.push_str("- ");
            self.has_words = true;
            self.item = false;
        }
    }

    fn end_line(&mut self) {
        let line = self.line.trim_end();
        if !line.is_empty() {
            if self.apart && !self.text.is_empty() {
                let quotes = self.quotes.min(self.last_quotes);
                self.text.push_str(sign(quotes).trim_end());
                self.text.push('\n');
            }
            self.text.push_str(&sign(self.quotes));
            self.text.push_str(line);
            self.text.push('\n');
            self.last_quotes = self.quotes;
            self.lines += 1;
            self.apart = false;
        }
        self.line.clear();
        self.has_words = false;
        self.apart |= self.next == Gap::Paragraph;
        self.next = Gap::None;
    }

    fn finish(mut self) -> String {
        self.end_line();
        self.text.trim_end().to_owned()
    }
}

/// How an element parts what is before it, and in it, and behind it.
fn gap(name: &str) -> Gap {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Gap::Paragraph,
        "address" | "article" | "aside" | "caption" | "center" | "dd" | "details" | "div"
        | "dl" | "dt" | "figcaption" | "figure" | "footer" | "header" | "hgroup" | "main"
        | "nav" | "ol" | "section" | "summary" | "table" | "ul" => Gap::Line,
        _ => Gap::None,
    }
}

/// What stands before a line that is quoted so often.
fn sign(quotes: usize) -> String {
    "> ".repeat(quotes.min(DEPTH))
}

/// The inside of a tag, and what comes after it: a bracket in quotes does not end it.
fn end_of_tag(behind: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = behind.find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    })?;
    Some((behind.get(..end)?, behind.get(end + 1..)?))
}

/// The value of an attribute, still encoded; empty where there is none.
fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let mut pieces = tag.split('"');
    while let (Some(before), Some(value)) = (pieces.next(), pieces.next()) {
        let found = before.trim_end_matches('=').rsplit(' ').next();
        if found == Some(name) {
            return value;
        }
    }
    ""
}

/// With every entity as the character that it is.
fn decoded(encoded: &str) -> String {
    let mut text = String::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((before, behind)) = rest.split_once('&') {
        text.push_str(before);
        let end = behind.bytes().take(ENTITY).position(|byte| byte == b';');
        let split = end.and_then(|end| behind.split_at_checked(end + 1));
        let (entity, behind) = split.unwrap_or(("", behind));
        add_html_token(&mut text, format!("&{entity}").as_bytes(), false);
        rest = behind;
    }
    text.push_str(rest);
    text
}
