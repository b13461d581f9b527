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
/// In carriers' lists as well (`channels::sms`).
pub const START: &[&str] = &[
    "start",
    "unstop",
    "subscribe",
    "opt in",
    "optin",
    "alta",
    "darme de alta",
    "reanudar",
    "anmelden",
];

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
    } else if among(START) {
        Some(Wish::Start)
    } else {
        None
    }
}

/// Longer texts are no word.
const LONGEST: usize = 60;

/// Lower case, without accents, punctuation and doubled spaces: as people type a word in a hurry.
fn plain(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let letters: String = text.to_lowercase().chars().map(unaccented).collect();
    let words: Vec<&str> = letters
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    Some(words.join(" "))
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
