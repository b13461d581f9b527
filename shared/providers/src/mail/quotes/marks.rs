//! How mail programs announce what they quote, in the languages of our customers: English, Spanish, French, German,
//! Portuguese and Italian.
//!
//! Written from what the programs write; a program that words it otherwise leaves its quote visible.

/// What a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// `On Monday Ana wrote:`, over so many lines; what follows is quoted or written below.
    Wrote { lines: usize },
    /// Everything from here on is older.
    History,
    /// Everything from here on is somebody else's, and sent on purpose.
    Forwarded,
}

/// Programs break a line that announces, but not often.
const WROTE_LINES: usize = 4;
/// Bytes; longer lines are somebody's sentence.
const WROTE_LENGTH: usize = 400;
/// How far below `From:` the others stand.
const HEADER_LINES: usize = 6;

/// How a line that announces begins and ends. German names the person behind the verb.
const WROTE: &[(&str, &str)] = &[
    ("on ", "wrote:"),
    ("el ", "escribió:"),
    ("el ", "escribio:"),
    ("le ", "a écrit:"),
    ("le ", "a ecrit:"),
    ("am ", "schrieb"),
    ("em ", "escreveu:"),
    ("a ", "escreveu:"),
    ("il ", "ha scritto:"),
];

const ORIGINAL: &[&str] = &[
    "original message",
    "mensaje original",
    "message d'origine",
    "message original",
    "ursprüngliche nachricht",
    "ursprungliche nachricht",
    "mensagem original",
    "messaggio originale",
];

const FORWARDED: &[&str] = &[
    "forwarded message",
    "begin forwarded message",
    "mensaje reenviado",
    "message transféré",
    "message transfere",
    "weitergeleitete nachricht",
    "mensagem encaminhada",
    "mensagem reencaminhada",
    "messaggio inoltrato",
];

const FROM: &[&str] = &["from", "de", "von", "da"];
const SENT: &[&str] = &[
    "sent",
    "date",
    "enviado",
    "enviado el",
    "fecha",
    "envoyé",
    "envoye",
    "gesendet",
    "datum",
    "enviada",
    "enviada em",
    "enviado em",
    "data",
    "inviato",
];
const TO_OR_SUBJECT: &[&str] = &[
    "to", "subject", "para", "asunto", "à", "a", "objet", "an", "betreff", "assunto", "oggetto",
];

/// What programs write under a mail for themselves.
const ADVERTISEMENTS: &[&str] = &[
    "sent from my ",
    "sent from outlook",
    "sent from mail for",
    "sent from yahoo",
    "get outlook for ",
    "enviado desde mi ",
    "enviado desde outlook",
    "envoyé de mon ",
    "envoyé depuis mon ",
    "envoyé à partir de ",
    "von meinem ",
    "gesendet von ",
    "gesendet mit ",
    "enviado do meu ",
    "enviado a partir do ",
    "inviato da ",
];

/// What the first of these lines begins.
pub(super) fn at(lines: &[&str]) -> Option<Mark> {
    let line = plain(lines.first()?);
    if line.is_empty() || line.starts_with('>') {
        return None;
    }
    let title = line.trim_matches(['-', '_', '*', ' ', ':']);
    let is_ruled = line.starts_with("--") || line.starts_with("__");
    if FORWARDED.contains(&title) && (is_ruled || line.ends_with(':')) {
        return Some(Mark::Forwarded);
    }
    if ORIGINAL.contains(&title) && is_ruled {
        return Some(Mark::History);
    }
    if is_rule(&line) && next(lines).is_some_and(is_header_block) || is_header_block(lines) {
        return Some(Mark::History);
    }
    wrote(lines).map(|lines| Mark::Wrote { lines })
}

/// `-- ` alone on its line, with or without the blank that many programs take off.
pub(super) fn is_signature(line: &str) -> bool {
    line.trim_end() == "--"
}

pub(super) fn is_advertisement(line: &str) -> bool {
    let line = plain(line);
    let line = line.trim_start_matches(['<', '[', '(']);
    line.len() <= 120
        && ADVERTISEMENTS.iter().any(|start| line.starts_with(start))
        // Only the German ends with its verb.
        && (!line.starts_with("von meinem ") || line.contains("gesendet"))
}

/// In lower case, with every kind of blank as one, and none before a colon.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").to_lowercase().replace(" :", ":")
}

fn is_rule(line: &str) -> bool {
    line.len() >= 5 && line.chars().all(|c| matches!(c, '_' | '-' | '='))
}

/// The lines from the next that is not blank.
fn next<'a, 'b>(lines: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let rest = lines.get(1..)?;
    let at = rest.iter().position(|line| !line.trim().is_empty())?;
    rest.get(at..)
}

/// `From:` with `Sent:` and `To:` or `Subject:` under it: how Outlook quotes.
fn is_header_block(lines: &[&str]) -> bool {
    let name = |line: &str| {
        let line = plain(line);
        let (name, value) = line.split_once(':')?;
        (!value.trim().is_empty()).then(|| name.trim_matches(['*', ' ']).to_owned())
    };
    let is = |line: Option<&&str>, names: &[&str]| {
        line.and_then(|line| name(line))
            .is_some_and(|name| names.contains(&name.as_str()))
    };
    is(lines.first(), FROM) && {
        let below = &lines[1..lines.len().min(HEADER_LINES)];
        below.iter().any(|line| is(Some(line), SENT))
            && below.iter().any(|line| is(Some(line), TO_OR_SUBJECT))
    }
}

/// How many lines it takes to say who wrote when. There is a date or an address in it, which nobody's sentence has by chance.
fn wrote(lines: &[&str]) -> Option<usize> {
    let mut said = String::new();
    for (at, line) in lines.iter().take(WROTE_LINES).enumerate() {
        let line = plain(line);
        if line.is_empty() || line.starts_with('>') {
            return None;
        }
        if at > 0 {
            said.push(' ');
        }
        said.push_str(&line);
        if said.len() > WROTE_LENGTH {
            return None;
        }
        if announces(&said) {
            return Some(at + 1);
        }
        if !may_announce(&said) {
            return None;
        }
    }
    None
}

fn may_announce(said: &str) -> bool {
    WROTE.iter().any(|(start, _)| said.starts_with(start))
        || said.starts_with(|c: char| c.is_ascii_digit())
}

fn announces(said: &str) -> bool {
    let says_when = said.contains('@') || said.chars().filter(char::is_ascii_digit).count() >= 3;
    let wrote = WROTE.iter().any(|(start, end)| {
        let is_end = if *end == "schrieb" {
            said.contains(" schrieb ") && said.ends_with(':')
        } else {
            said.ends_with(end)
        };
        said.starts_with(start) && is_end
    });
    // `2026-11-23 10:00 GMT+01:00 Ana <ana@example.com>:`
    let dated = said.starts_with(|c: char| c.is_ascii_digit())
        && said.contains('@')
        && said.ends_with(">:");
    says_when && wrote || dated
}
