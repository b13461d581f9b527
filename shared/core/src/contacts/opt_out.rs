//! STOP and its relatives: a message that is nothing but such a word.
//!
//! A phone's channel has the words that carriers know. On the other channels people talk, and a passenger who writes "cancel" or
//! "end" may well mean the booking: there a word must be unmistakable. A sentence that contains a word is for an agent.
//!
//! Source: the default keywords of AWS End User Messaging (English and French carriers'), and what subscribers of WhatsApp and
//! mail write in our languages.

use crate::model::Channel;
use serde::Serialize;

/// What somebody wants of us on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Wish {
    /// Nothing more, but answers to what they write.
    Stop,
    StopMarketing,
    /// Again as before they said stop.
    Start,
    StartMarketing,
}

impl Wish {
    /// Does somebody want less?
    #[must_use]
    pub fn is_a_no(self) -> bool {
        matches!(self, Self::Stop | Self::StopMarketing)
    }
}

/// Unmistakable on every channel, as [`plain`] has them.
const STOP: &[&str] = &[
    // English, and what everybody knows
    "stop",
    "stop all",
    "stopall",
    "unsubscribe",
    "opt out",
    "optout",
    "remove me",
    "stop messages",
    // Spanish
    "baja",
    "darme de baja",
    "darse de baja",
    "dar de baja",
    "dame de baja",
    "no mas mensajes",
    "no quiero mas mensajes",
    "cancelar suscripcion",
    // French, German, Portuguese, Italian, Catalan
    "arret",
    "desabonner",
    "desinscription",
    "stopp",
    "abmelden",
    "abbestellen",
    "descadastrar",
    "parar mensagens",
    "cancelar inscricao",
    "disiscrivimi",
    "annulla iscrizione",
    "donar de baixa",
];
/// Words of a carrier, and one that can mean much else in a conversation.
const STOP_BY_PHONE: &[&str] = &[
    "cancel", "end", "quit", "remove", "revoke", "td", "parar", "alto", "cancelar", "sair", "ferma",
];
const STOP_MARKETING: &[&str] = &[
    "stop promotions",
    "stop promotion",
    "stop marketing",
    "no promotions",
    "stop offers",
    "no mas promociones",
    "parar promociones",
    "detener promociones",
    "no quiero promociones",
    "arreter les promotions",
    "keine werbung",
    "parar promocoes",
];
const START_MARKETING: &[&str] = &[
    "start promotions",
    "start promotion",
    "start marketing",
    "start offers",
    "reanudar promociones",
    "activar promociones",
    "quiero promociones",
    "reprendre les promotions",
    "werbung erwunscht",
    "reativar promocoes",
];
const START: &[&str] = &[
    "start",
    "unstop",
    "subscribe",
    "opt in",
    "optin",
    "alta",
    "darme de alta",
    "reanudar",
    "anmelden",
    // French, Portuguese, Italian, Catalan
    "reabonner",
    "me reabonner",
    "reativar",
    "inscrever",
    "riattiva",
    "iscrivimi",
    "donar d alta",
];
/// Words that are answers as well, where we ask: of a priority, of how many come, or for a stop.
const AMBIGUOUS: &[&str] = &["baja", "alta", "end", "cancel", "arret"];

/// The wish that the whole message is.
#[must_use]
pub fn wish(text: &str, channel: Channel) -> Option<Wish> {
    let text = plain(text)?;
    let among = |words: &[&str]| words.contains(&text.as_str());
    let by_phone = channel == Channel::Sms && among(STOP_BY_PHONE);
    if among(STOP) || by_phone {
        Some(Wish::Stop)
    } else if among(STOP_MARKETING) {
        Some(Wish::StopMarketing)
    } else if among(START_MARKETING) {
        Some(Wish::StartMarketing)
    } else if among(START) {
        Some(Wish::Start)
    } else {
        None
    }
}

/// The wish that a tapped button or row of a question of ours is: it has the meaning that we gave it, unless it cannot mean anything else.
#[must_use]
pub fn wish_of_an_answer(title: &str, channel: Channel) -> Option<Wish> {
    let title = plain(title)?;
    if AMBIGUOUS.contains(&title.as_str()) {
        return None;
    }
    wish(&title, channel)
}

/// Longer ones are no word, whatever else stands around them: a word in a hurry may have any number of blanks, lines and hearts behind it.
const LONGEST: usize = 60;
/// Longer than anything that a phone sends as a text.
const LONGEST_TEXT: usize = 8 * 1024;

/// Lower case, without accents, punctuation and doubled spaces: as people type a word in a hurry.
fn plain(text: &str) -> Option<String> {
    if text.len() > LONGEST_TEXT {
        return None;
    }
    // Some keyboards write the accent by itself, and some programs put marks of no width between letters.
    let is_no_letter = |c: &char| {
        ('\u{300}'..='\u{36f}').contains(c)
            || matches!(
                c,
                '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
            )
    };
    let letters: String = text
        .chars()
        .filter(|c| !is_no_letter(c))
        .map(narrow)
        .collect();
    let letters: String = letters.to_lowercase().chars().map(unaccented).collect();
    let words: Vec<&str> = letters
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let words = words.join(" ");
    (words.len() <= LONGEST).then_some(words)
}

/// The letters of keyboards for Chinese and Japanese are as wide as their others.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        other => other,
    }
}

fn unaccented(c: char) -> char {
    match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_question_of_ours_is_no_wish_unless_it_can_be_nothing_else() {
        for title in ["Baja", "Alta", "End"] {
            assert_eq!(wish_of_an_answer(title, Channel::WhatsApp), None, "{title}");
        }
        assert_eq!(wish("Baja", Channel::WhatsApp), Some(Wish::Stop));
        for (title, wanted) in [
            ("STOP", Wish::Stop),
            ("Darme de baja", Wish::Stop),
            ("Start", Wish::Start),
        ] {
            assert_eq!(
                wish_of_an_answer(title, Channel::WhatsApp),
                Some(wanted),
                "{title}"
            );
        }
    }

    #[test]
    fn an_accent_may_stand_by_itself() {
        assert_eq!(
            wish("De\u{301}sabonner", Channel::WhatsApp),
            Some(Wish::Stop)
        );
        assert_eq!(wish("Re\u{301}abonner", Channel::Sms), Some(Wish::Start));
    }

    #[test]
    fn a_word_is_understood_however_it_is_typed() {
        for text in [
            "STOP",
            " stop. ",
            "Stop!",
            "«Baja»",
            "no más mensajes",
            "Désabonner",
            "OPT-OUT",
            "stop 🙏",
            &format!("STOP{}", "\n ".repeat(80)),
            &format!("STOP {}", "🛑".repeat(20)),
            "ＳＴＯＰ！",
            "ST\u{200b}OP\u{feff}",
        ] {
            assert_eq!(wish(text, Channel::WhatsApp), Some(Wish::Stop), "{text}");
        }
        assert_eq!(
            wish("Stop promotions", Channel::WhatsApp),
            Some(Wish::StopMarketing)
        );
        assert_eq!(wish("START", Channel::Sms), Some(Wish::Start));
    }

    #[test]
    fn a_sentence_is_for_an_agent() {
        for text in [
            "please stop at Atocha",
            "does the bus stop here?",
            "baja en Atocha",
            "",
            "...",
            &"stop ".repeat(20),
        ] {
            assert_eq!(wish(text, Channel::Sms), None, "{text}");
        }
    }

    #[test]
    fn what_may_be_about_a_booking_is_a_wish_by_phone_alone() {
        for text in ["CANCEL", "cancelar", "end", "Quit", "revoke"] {
            assert_eq!(wish(text, Channel::Sms), Some(Wish::Stop), "{text}");
            assert_eq!(wish(text, Channel::WhatsApp), None, "{text}");
            assert_eq!(wish(text, Channel::Email), None, "{text}");
        }
    }

    #[test]
    fn every_word_is_written_as_it_is_compared() {
        for word in [STOP, STOP_BY_PHONE, STOP_MARKETING, START].concat() {
            assert_eq!(plain(word).as_deref(), Some(word));
        }
    }
}
