//! How a text is cut into the parts that are sent and paid for.
//!
//! GSM-7 where every character is in its alphabet: 160 septets in one part, 153 in each of several, because each of
//! several begins with a header. One character outside makes the *whole* text UCS-2: 70 and 67 units of UTF-16.
//! What takes two units (`€` in GSM-7, an emoji in UCS-2) is never cut in two.
//!
//! Source: 3GPP TS 23.038 and 23.040.

/// What a text takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    pub encoding: Encoding,
    /// Septets of GSM-7, or units of UTF-16.
    pub units: usize,
    /// What is paid for; one for an empty text.
    pub parts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gsm7,
    Ucs2,
}

impl Encoding {
    const fn alone(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    const fn among_others(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// Counts the parts of a text.
#[must_use]
pub fn segments(text: &str) -> Segments {
    let (encoding, widths): (_, Vec<usize>) = match text.chars().map(septets).collect() {
        Some(widths) => (Encoding::Gsm7, widths),
        None => (Encoding::Ucs2, text.chars().map(char::len_utf16).collect()),
    };
    let units = widths.iter().sum();
    let parts = if units <= encoding.alone() {
        1
    } else {
        parts(&widths, encoding.among_others())
    };
    Segments {
        encoding,
        units,
        parts,
    }
}

/// How many parts of `room` units the characters fill, none of them cut.
fn parts(widths: &[usize], room: usize) -> usize {
    let mut parts = 1;
    let mut used = 0;
    for width in widths {
        if used + width > room {
            parts += 1;
            used = 0;
        }
        used += width;
    }
    parts
}

/// One septet each, beside the letters, digits and signs of ASCII.
const ALPHABET: &str = "@£$¥èéùìòÇØøÅå_ÆæßÉ¤¡ÄÖÑÜ§¿äöñüàΔΦΓΛΩΠΨΣΘΞ\n\r";
/// An escape and one septet.
const EXTENSION: &str = "^{}\\[~]|€\u{c}";

/// Septets that a character takes; `None` outside the alphabet and its extension.
fn septets(c: char) -> Option<usize> {
    match c {
        'a'..='z' | 'A'..='Z' | ' '..='#' | '%'..='?' => Some(1),
        _ if ALPHABET.contains(c) => Some(1),
        _ if EXTENSION.contains(c) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gsm(units: usize, parts: usize) -> Segments {
        Segments {
            encoding: Encoding::Gsm7,
            units,
            parts,
        }
    }

    fn ucs(units: usize, parts: usize) -> Segments {
        Segments {
            encoding: Encoding::Ucs2,
            units,
            parts,
        }
    }

    #[test]
    fn texts_around_every_edge() {
        let a = |count| "a".repeat(count);
        let zh = |count| "ж".repeat(count);
        for (text, expected) in [
            (String::new(), gsm(0, 1)),
            (a(160), gsm(160, 1)),
            (a(161), gsm(161, 2)),
            (a(306), gsm(306, 2)),
            (a(307), gsm(307, 3)),
            ("€".repeat(80), gsm(160, 1)),
            ("€".repeat(81), gsm(162, 2)),
            (a(152) + "€" + &a(152), gsm(306, 3)),
            (zh(70), ucs(70, 1)),
            (zh(71), ucs(71, 2)),
            (zh(134), ucs(134, 2)),
            (zh(135), ucs(135, 3)),
            ("😀".repeat(35), ucs(70, 1)),
            ("😀".repeat(36), ucs(72, 2)),
            (zh(66) + "😀" + &zh(66), ucs(134, 3)),
            (a(159) + "`", ucs(160, 3)),
        ] {
            assert_eq!(segments(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_alphabet_is_not_what_it_looks_like() {
        let inside = "àèéìòùñÑüÜäÄöÖåÅøØæÆßÇÉ¿¡§£¥¤@$_ΔΦΓΛΩΠΨΣΘΞ\r\n !\"#%&'()*+,-./:;<=>?09AZaz";
        assert_eq!(segments(inside), gsm(inside.chars().count(), 1));
        assert_eq!(segments("^{}\\[]~|€\u{c}"), gsm(20, 1));
        for outside in "`çáíóúÁÍÓÚêâô’“–\u{a0}\tαж".chars() {
            let text = outside.to_string();
            assert_eq!(segments(&text).encoding, Encoding::Ucs2, "{outside:?}");
        }
    }

    proptest! {
        #[test]
        fn parts_hold_the_units_and_waste_no_more_than_one_each(text in "\\PC{0,500}") {
            let Segments { encoding, units, parts } = segments(&text);
            if parts == 1 {
                prop_assert!(units <= encoding.alone());
            } else {
                prop_assert!(units <= parts * encoding.among_others());
                prop_assert!(units > (parts - 1) * (encoding.among_others() - 1));
            }
        }

        #[test]
        fn one_more_character_never_takes_fewer_parts_of_the_same_encoding(text in "[a-z€ñ ]{0,400}", more in "[a€]") {
            let longer = format!("{text}{more}");
            prop_assert!(segments(&longer).parts >= segments(&text).parts);
            prop_assert!(segments(&longer).units > segments(&text).units);
        }
    }
}
