//! How mail programs announce what they quote, in the languages of our customers: English, Spanish, Catalan, French, German,
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
/// Of those that Outlook writes above what it quotes; people write fewer.
const OUTLOOKS_RULE: usize = 20;
/// How far below `From:` the others stand.
const HEADER_LINES: usize = 6;

/// How a line that announces begins and ends. German names the person behind the verb.
const WROTE: &[(&str, &str)] = &[
    ("on ", "wrote:"),
    ("el ", "escribió:"),
    ("el ", "escribio:"),
    ("en ", "escribió:"),
    ("en ", "escribio:"),
    ("le ", "a écrit:"),
    ("le ", "a ecrit:"),
    ("am ", "schrieb"),
    ("em ", "escreveu:"),
    ("a ", "escreveu:"),
    ("il ", "ha scritto:"),
];

/// Where who wrote stands first, with their address, and when behind it: Gmail in Catalan and in the Portuguese of Portugal.
const WRITER_FIRST: &[(&str, &str)] = &[("missatge de ", " del dia "), ("", " escreveu no dia ")];

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

/// How the subject of a mail begins that is sent on.
const FORWARDS: &[&str] = &["fw", "fwd", "rv", "tr", "wg", "enc", "i"];

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
const TO: &[&str] = &["to", "para", "à", "a", "an"];
const SUBJECT: &[&str] = &[
    "subject", "asunto", "objet", "betreff", "assunto", "oggetto",
];

/// What programs write under a mail for themselves.
const ADVERTISEMENTS: &[&str] = &[
    "sent from my ",
    "sent from outlook",
    "sent from mail for",
    "sent from yahoo",
    "get outlook for ",
    "sent with proton mail",
    "sent with [proton mail]",
    "sent from proton mail",
    "sent from [proton mail]",
    "enviado desde mi ",
    "enviado desde outlook",
    "enviado desde yahoo",
    "enviado desde el correo",
    "enviado con proton mail",
    "enviado con el correo electrónico seguro de proton",
    "obtener outlook para ",
    "obtén outlook para ",
    "enviat des de",
    "obtenir outlook pour ",
    "télécharger outlook pour ",
    "obter o outlook para ",
    "ottieni outlook per ",
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
    let block = if is_rule(&line) {
        next(lines).and_then(header_block)
    } else {
        header_block(lines)
    };
    // Outlook's own line is of 32 underscores, and is all that shows it where it names people alone.
    let is_outlooks = line.starts_with('_') && is_rule(&line) && line.len() >= OUTLOOKS_RULE;
    if block == Some(Block::OfAMail) || is_outlooks && block.is_some() {
        return Some(Mark::History);
    }
    wrote(lines).map(|lines| Mark::Wrote { lines })
}

/// Does this stand above a mail that is sent on? `RE: FW:` is an answer to one. A gateway may have set its own `[External]` before.
pub(super) fn is_forward(subject: &str) -> bool {
    let mut subject = subject.trim_start();
    while let Some((_, rest)) = subject
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        subject = rest.trim_start();
    }
    let mark = subject
        .split_once(':')
        .map(|(mark, _)| mark.trim().to_lowercase());
    mark.is_some_and(|mark| FORWARDS.contains(&mark.as_str()))
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

/// Lines such as `From:`, `Date:` and `To:` under each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Only a program writes it so.
    OfAMail,
    /// Who books a journey names its start, its day and its end in the same words.
    OfAnyKind,
}

/// How Outlook quotes: `From:` with `Sent:` and `To:` or `Subject:` under it. An address among them, a subject, or names in the
/// asterisks of what was bold show that it is a mail's.
fn header_block(lines: &[&str]) -> Option<Block> {
    let from = field(lines.first()?);
    if !from.is(FROM) {
        return None;
    }
    let below = lines.iter().take(HEADER_LINES).skip(1);
    let below: Vec<Field> = below.map(|line| field(line)).collect();
    let has = |names: &[&str]| below.iter().any(|field| field.is(names));
    if !has(SENT) || !(has(TO) || has(SUBJECT)) {
        return None;
    }
    let known = |field: &&Field| [SENT, TO].iter().any(|names| field.is(names));
    let shows = |field: &Field| field.is_bold || field.value.contains('@');
    let is_mail = has(SUBJECT) || shows(&from) || below.iter().filter(known).any(shows);
    Some(if is_mail {
        Block::OfAMail
    } else {
        Block::OfAnyKind
    })
}

/// A line with a name before its first colon; the name is empty where the line has none, or nothing behind it.
#[derive(Debug, Default)]
struct Field {
    name: String,
    value: String,
    is_bold: bool,
}

impl Field {
    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

fn field(line: &str) -> Field {
    let line = plain(line);
    match line.split_once(':') {
        Some((name, value)) if !value.trim().is_empty() => Field {
            name: name.trim_matches(['*', ' ']).to_owned(),
            value: value.to_owned(),
            is_bold: name.starts_with('*') && (name.ends_with('*') || value.starts_with('*')),
        },
        _ => Field::default(),
    }
}

/// How many lines it takes to say who wrote when. There is an address in it, which nobody's sentence has by chance; or a date
/// alone, and then a quote follows or nothing: what follows `On 12 May your driver wrote:` may be the story that somebody tells.
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
            let names_an_address = said.contains('@');
            let below = next(&lines[at..]).and_then(|below| below.first());
            let is_followed = below.is_none_or(|line| line.trim_start().starts_with('>'));
            return (names_an_address || is_followed).then_some(at + 1);
        }
        if !may_announce(&said) {
            return None;
        }
    }
    None
}

fn may_announce(said: &str) -> bool {
    WROTE.iter().any(|(start, _)| said.starts_with(start))
        || said.starts_with("missatge de ")
        || said.contains(" escreveu no dia ")
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
    let writer_first = said.contains('@')
        && said.ends_with(':')
        && WRITER_FIRST
            .iter()
            .any(|(start, when)| said.starts_with(start) && said.contains(when));
    says_when && (wrote || writer_first) || dated
}
