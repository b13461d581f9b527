//! How mail programs announce what they quote, in the languages of our customers: English, Spanish, Catalan, French, German,
//! Portuguese and Italian. In others, what stands right above quoted lines and says by an address and a date who wrote when.
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
/// Bytes of a line that a program breaks for its width.
const BROKEN_AT: usize = 60;
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
    ("às ", "escreveu:"),
    ("il ", "ha scritto:"),
];

/// Where who wrote stands first, with their address, and when behind it: Gmail in Catalan and in the Portuguese of Portugal.
const WRITER_FIRST: &[(&str, &str)] = &[
    ("missatge de ", " del dia "),
    ("", " escreveu no dia "),
    ("", " escreveu ("),
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

/// How the subject of a mail begins that is sent on.
const FORWARDS: &[&str] = &["fw", "fwd", "rv", "tr", "wg", "enc", "i"];

/// And of one that answers.
const ANSWERS: &[&str] = &[
    "re", "aw", "antwort", "res", "r", "rép", "rep", "sv", "vs", "antw", "odp", "回复",
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

/// What the first of these lines begins; `begins`: a blank line or none stands before it.
pub(super) fn at(lines: &[&str], begins: bool, is_answer: bool) -> Option<Mark> {
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
    if is_answer
        && is_ruled
        && !title.is_empty()
        && line.ends_with("--")
        && next(lines).is_some_and(is_field)
    {
        return Some(Mark::History);
    }
    let block = if is_rule(&line) {
        next(lines).and_then(|below| header_block(below, is_answer, true))
    } else {
        header_block(lines, is_answer, begins)
    };
    // Outlook's own line is of 32 underscores, and is all that shows it where it names people alone.
    let is_outlooks = line.starts_with('_') && is_rule(&line) && line.len() >= OUTLOOKS_RULE;
    if block == Some(Block::OfAMail) || is_outlooks && block.is_some() {
        return Some(Mark::History);
    }
    let announced = wrote(lines, is_answer).or_else(|| says_who_and_when(lines));
    announced.map(|lines| Mark::Wrote { lines })
}

/// Does this stand above a mail that is sent on? `RE: FW:` is an answer to one.
pub(super) fn is_forward(subject: &str) -> bool {
    mark(subject).is_some_and(|mark| FORWARDS.contains(&mark.as_str()))
}

/// Does this stand above an answer?
pub(super) fn is_answer(subject: &str) -> bool {
    mark(subject).is_some_and(|mark| ANSWERS.contains(&mark.as_str()))
}

/// What stands before the first colon. A gateway may have set its own `[External]` before.
fn mark(subject: &str) -> Option<String> {
    let mut subject = subject.trim_start();
    while let Some((_, rest)) = subject
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        subject = rest.trim_start();
    }
    let (mark, _) = subject.split_once([':', '：'])?;
    // `Re[2]:`
    let mark = mark.split('[').next().unwrap_or_default();
    Some(mark.trim().to_lowercase())
}

/// `-- ` alone on its line, with or without the blank that many programs take off.
pub(super) fn is_signature(line: &str) -> bool {
    line.trim_end() == "--"
}

/// What programs call themselves, and phones.
const DEVICES: &[&str] = &[
    "iphone",
    "ipad",
    "android",
    "galaxy",
    "samsung",
    "huawei",
    "xiaomi",
    "pixel",
    "phone",
    "móvil",
    "mobil",
    "tablet",
    "blackberry",
    "windows",
    "mac",
    "outlook",
    "yahoo",
    "proton",
    "mail",
    "correo",
    "gmail",
];

/// Of a program or a phone it may say what it likes; of anything else (a car, a hotel) it says where somebody is.
pub(super) fn is_advertisement(line: &str) -> bool {
    let line = plain(line);
    let line = line.trim_start_matches(['<', '[', '(']);
    let of_a_device = DEVICES.iter().any(|device| line.contains(device));
    let is_short = line.len() <= 60 && !line.trim_end_matches('.').contains([':', '?', ',', '.']);
    line.len() <= 120
        && (of_a_device || is_short)
        && ADVERTISEMENTS.iter().any(|start| line.starts_with(start))
        // Only the German ends with its verb.
        && (!line.starts_with("von meinem ") || line.contains("gesendet"))
}

/// In lower case, with every kind of blank as one, and none before a colon.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let words = words.join(" ").to_lowercase();
    words.replace('：', ":").replace(" :", ":")
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

/// How Outlook quotes: `From:` with `Sent:` and `To:` or `Subject:` under it; others begin with `Sent:`. An address among them, a subject, or
/// names in the asterisks of what was bold show that it is a mail's. What answers nothing may have some of them, as a form on the tenant's
/// pages writes them, and not all. In another language it is four such lines by themselves: somebody's address in angle brackets, a date.
fn header_block(lines: &[&str], is_answer: bool, begins: bool) -> Option<Block> {
    let fields: Vec<Field> = lines
        .iter()
        .take(HEADER_LINES)
        .map(|line| field(line))
        .collect();
    let first = fields.first()?;
    if ![FROM, SENT].iter().any(|names| first.is(names)) {
        let four = fields.get(..4)?;
        let address = &first.value;
        let names_somebody =
            address.contains('<') && address.contains('@') && !address.contains("mailto:");
        let digits = four[1].value.chars().filter(char::is_ascii_digit);
        let is_dated = digits.count() >= 3;
        let is_foreign = is_answer && begins && names_somebody && is_dated;
        return (is_foreign && four.iter().all(Field::is_named)).then_some(Block::OfAMail);
    }
    let has = |names: &[&str]| fields.iter().any(|field| field.is(names));
    if !has(FROM) || !has(SENT) || !(has(TO) || has(SUBJECT)) {
        return None;
    }
    let known = |field: &&Field| [FROM, SENT, TO].iter().any(|names| field.is(names));
    let shows = |field: &Field| field.is_bold || field.value.contains('@');
    let is_shown = fields.iter().filter(known).any(shows);
    let is_mail = if is_answer {
        has(SUBJECT) || is_shown
    } else {
        has(SUBJECT) && has(TO) && is_shown
    };
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

/// Of a name before a colon, as mail programs have them; what is longer begins a sentence.
const NAME_LENGTH: usize = 24;

impl Field {
    fn is_named(&self) -> bool {
        (1..=NAME_LENGTH).contains(&self.name.len())
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }
}

fn is_field(lines: &[&str]) -> bool {
    lines.first().is_some_and(|line| field(line).is_named())
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
fn wrote(lines: &[&str], is_answer: bool) -> Option<usize> {
    let length = announced(lines)?;
    let names_an_address = is_answer && lines[..length].iter().any(|line| line.contains('@'));
    let below = next(&lines[length - 1..]).and_then(|below| below.first());
    let is_followed = below.is_none_or(|line| line.trim_start().starts_with('>'));
    (names_an_address || is_followed).then_some(length)
}

/// The same, whatever follows.
pub(super) fn announced(lines: &[&str]) -> Option<usize> {
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

/// In any language: what names an address and has the digits of a date, ends with a colon, and stands right above what is quoted. Of several
/// lines it is only where they were broken for their width; else those before the last are the writer's own.
fn says_who_and_when(lines: &[&str]) -> Option<usize> {
    let is_end = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('>');
    let mut near = lines.iter().take(WROTE_LINES + 1);
    let length = near.position(|line| is_end(line))?;
    let broken = lines[..length.checked_sub(1)?]
        .iter()
        .all(|line| line.trim_end().len() >= BROKEN_AT);
    let below = next(&lines[length - 1..])?.first()?;
    let said = plain(&lines[..length].join(" "));
    let digits = said.chars().filter(char::is_ascii_digit).count();
    let is_announced = broken
        && said.len() <= WROTE_LENGTH
        && said.ends_with(':')
        && said.contains('@')
        && digits >= 3;
    let is_known_below = (1..length).any(|at| announced(&lines[at..]).is_some());
    (is_announced && !is_known_below && below.trim_start().starts_with('>')).then_some(length)
}

/// Or by whom.
fn says_when(said: &str) -> bool {
    said.contains('@') || said.chars().filter(char::is_ascii_digit).count() >= 3
}

fn may_announce(said: &str) -> bool {
    WROTE.iter().any(|(start, _)| said.starts_with(start))
        || said.starts_with("missatge de ")
        || said.contains(" escreveu ")
        || said.starts_with(|c: char| c.is_ascii_digit())
}

fn announces(said: &str) -> bool {
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
    says_when(said) && (wrote || writer_first) || dated
}
