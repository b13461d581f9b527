//! What a template may say: names, conditions, repetitions; nothing that makes more of what it was given.
//!
//! The renderer's fuel counts steps and what most of them take up, but not what a list takes up that is repeated, or put into itself, and
//! then printed or compared: that is few steps and all of the memory. So nothing is put together here (`+`, `*`, `~`, lists, tables), and
//! nothing is kept to be printed again (`{% set x %}…{% endset %}`, macros, loops that call themselves): what comes out is as long as what is
//! written, times what its loops are given. It is looked at word by word, for what nests deep enough ends the process that reads it.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Words between two brackets.
const WORDS: usize = 100;
/// Branches of one template: each `elif` is read within the one before.
const BRANCHES: usize = 100;

/// What may stand first in `{% … %}`.
const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];

/// What may stand behind `is`; the renderer knows these.
pub(super) const TESTS: [&str; 3] = ["defined", "undefined", "none"];

const TOGETHER: &str = "values are not put together: write them side by side";

/// Why it may not be rendered. What does not read at all is left to the reader.
pub(super) fn fault(source: &str) -> Option<&'static str> {
    let mut seen = Seen::default();
    let tokens = tokenize(source, false, SyntaxConfig::default());
    let tokens = tokens.map_while(Result::ok);
    tokens
        .map(|(token, _)| token)
        .find_map(|token| seen.fault_of(&token))
}

/// What has been seen since the last bracket opened.
#[derive(Default)]
struct Seen {
    at: Place,
    words: usize,
    /// Would a `[` look something up in what stands before it?
    is_value: bool,
    is_dot: bool,
    /// Of the whole template.
    branches: usize,
}

#[derive(Default)]
enum Place {
    /// What is printed or asked, or no bracket at all.
    #[default]
    Within,
    /// `{%`
    Statement,
    /// `{% for`: a comma may stand between two names.
    Names,
    /// `{% set`, and no value yet.
    Name,
    /// `… is`, perhaps `not`.
    Test,
}

impl Seen {
    fn fault_of(&mut self, token: &Token<'_>) -> Option<&'static str> {
        let of_a_value = std::mem::replace(&mut self.is_value, ends_a_value(token));
        let of_a_name = std::mem::replace(&mut self.is_dot, matches!(token, Token::Dot));
        self.words += 1;
        match (token, &self.at) {
            // `trip.is` is a name like another.
            (Token::Ident(_), _) if of_a_name => {}
            (Token::TemplateData(_), _) => self.words = 0,
            (Token::VariableStart, _) => (self.at, self.words) = (Place::Within, 0),
            (Token::BlockStart, _) => (self.at, self.words) = (Place::Statement, 0),
            (Token::Ident(word), Place::Statement) => return self.statement(word),
            (Token::BlockEnd, Place::Name) => return Some("set needs a value: {% set a = b %}"),
            (Token::Assign, Place::Name) | (Token::Ident("in"), Place::Names) => {
                self.at = Place::Within;
            }
            (Token::Comma, Place::Names) | (Token::Ident("not"), Place::Test) => {}
            (Token::Ident(test), Place::Test) => {
                self.at = Place::Within;
                if !TESTS.contains(test) {
                    return Some("behind is there are defined, undefined and none");
                }
            }
            (Token::Ident("is"), _) => self.at = Place::Test,
            (
                Token::Plus
                | Token::Mul
                | Token::Pow
                | Token::Tilde
                | Token::Comma
                | Token::BraceOpen,
                _,
            ) => return Some(TOGETHER),
            (Token::BracketOpen, _) if !of_a_value => return Some(TOGETHER),
            (Token::Ident("recursive"), _) => return Some("a loop does not call itself"),
            (Token::Pipe, _) => return Some("there are no filters"),
            _ => {}
        }
        (self.words > WORDS).then_some("more than 100 words between two brackets")
    }

    fn statement(&mut self, word: &str) -> Option<&'static str> {
        self.at = match word {
            "for" => Place::Names,
            "set" => Place::Name,
            _ => Place::Within,
        };
        self.branches += usize::from(word == "elif");
        if self.branches > BRANCHES {
            return Some("more than 100 elif");
        }
        let known = STATEMENTS.contains(&word);
        (!known).then_some("of statements there are if, elif, else, endif, for, endfor and set")
    }
}

fn ends_a_value(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => {
            !["in", "not", "and", "or", "is", "if", "elif", "else"].contains(word)
        }
        Token::Str(_) | Token::String(_) | Token::BracketClose | Token::ParenClose => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_conditions_and_repetitions_are_all_there_is() {
        for source in [
            "Hola {{ passenger.first_name }}: 1 + 1 = {2}, [x] ~ * , |",
            "{% if delay_minutes >= 60 and not (trip.code == 'a' or trip.code is undefined) %}a{% elif x %}b{% else %}c{% endif %}",
            "{% for stop in stops %}{{ loop.index }} {{ stop.name }}{% endfor %}",
            "{% for key, value in stops %}{{ key }}{% else %}-{% endfor %}",
            "{% set who = trip['code'] %}{{ who[0] }}{{ stops[1:] }}{{ a - 1 }}",
            "{{ 'late' if late else 'in time' }}{# a comment #}",
            "{% if a is not none and b is defined or trip.recursive is undefined %}{{ trip.is }}{% endif %}",
            "{% raw %}{{ a + b }}{% endraw %}",
            "{{ never closed",
        ] {
            assert_eq!(fault(source), None, "{source}");
        }
    }

    #[test]
    fn nothing_makes_more_of_what_it_was_given() {
        for source in [
            "{{ [1] * 100000000 }}",
            "{{ a + a }}",
            "{{ a ~ a }}",
            "{{ 2 ** 9 }}",
            "{% set a = [a] %}",
            "{% set a = (a, a) %}",
            "{% set a = a, a %}",
            "{% for x in a, a %}{% endfor %}",
            "{% if x in [a] %}{% endif %}",
            "{{ {'a': a} }}",
            "{% set a %}{{ a }}{{ a }}{% endset %}",
            "{% macro a() %}x{% endmacro %}",
            "{% filter upper %}x{% endfilter %}",
            "{% for x in tree recursive %}{% endfor %}",
            "{% do a(1) %}",
            "{{ a|upper }}",
            "{% if a is odd %}x{% endif %}",
            "{% if a %}x{% elif [a] %}y{% endif %}",
        ] {
            assert!(fault(source).is_some(), "{source}");
        }
    }

    #[test]
    fn what_nests_is_not_followed_for_long() {
        assert!(fault(&format!("{{{{ a{} }}}}", " or a".repeat(60_000))).is_some());
        assert!(fault(&format!("{{{{ {}a }}}}", "(".repeat(60_000))).is_some());
        assert!(fault(&"{% elif a %}".repeat(101)).is_some());
        assert!(fault(&"{{ a }} words ".repeat(1_000)).is_none());
    }
}
