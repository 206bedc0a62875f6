//! From JavaScript's syntax of regular expressions to that of the `regex` crate.

use std::iter::Peekable;
use std::str::Chars;

const DIGIT: &str = "0-9";
const WORD: &str = "0-9A-Za-z_";
const SPACE: &str = r"\t\n\x0B\x0C\r \u{A0}\u{1680}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}\u{FEFF}";

type Reason = &'static str;

/// The same expression in the other syntax; an error names what has no counterpart.
pub(super) fn translate(pattern: &str) -> Result<String, Reason> {
    let mut translator = Translator {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len()),
    };
    while let Some(c) = translator.rest.next() {
        translator.one(c)?;
    }
    Ok(translator.out)
}

struct Translator<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    /// The members of a class, and whether it is the class of all others.
    Class(&'static str, bool),
    Boundary(&'static str),
}

/// A member of a class in brackets.
enum Member {
    Char(char),
    Class(&'static str, bool),
}

impl Translator<'_> {
    fn one(&mut self, c: char) -> Result<(), Reason> {
        match c {
            '\\' => match self.escape()? {
                Escape::Char(c) => self.literal(c),
                Escape::Class(members, false) => self.out.extend(["[", members, "]"]),
                Escape::Class(members, true) => self.out.extend(["[^", members, "]"]),
                Escape::Boundary(boundary) => self.out.push_str(boundary),
            },
            '[' => return self.class(),
            '(' => {
                self.out.push('(');
                if self.rest.peek() == Some(&'?') {
                    return self.group();
                }
            }
            '.' => self.out.push_str(r"[^\n\r\u{2028}\u{2029}]"),
            '{' if !self.is_quantifier() => self.out.push_str(r"\{"),
            '{' => {
                self.out.push('{');
                for c in self.rest.by_ref() {
                    self.out.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            '}' | ']' => self.literal(c),
            c => self.out.push(c),
        }
        Ok(())
    }

    /// What follows `(`, from its `?` on.
    fn group(&mut self) -> Result<(), Reason> {
        self.rest.next();
        match self.rest.next() {
            Some(':') => self.out.push_str("?:"),
            Some('=' | '!') => return Err("lookahead takes more than linear time"),
            Some('<') if matches!(self.rest.peek(), Some('=' | '!')) => {
                return Err("lookbehind takes more than linear time");
            }
            Some('<') => self.out.push_str("?P<"),
            _ => return Err("no such kind of group"),
        }
        Ok(())
    }

    /// Whether what follows an opening brace is a count: `2}`, `2,}` or `2,3}`.
    fn is_quantifier(&self) -> bool {
        let mut rest = self.rest.clone();
        let mut digits = 0;
        while rest.next_if(char::is_ascii_digit).is_some() {
            digits += 1;
        }
        if rest.next_if_eq(&',').is_some() {
            while rest.next_if(char::is_ascii_digit).is_some() {}
        }
        digits > 0 && rest.next() == Some('}')
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape, Reason> {
        let Some(c) = self.rest.next() else {
            return Err("it ends with a backslash");
        };
        Ok(match c {
            'd' => Escape::Class(DIGIT, false),
            'D' => Escape::Class(DIGIT, true),
            'w' => Escape::Class(WORD, false),
            'W' => Escape::Class(WORD, true),
            's' => Escape::Class(SPACE, false),
            'S' => Escape::Class(SPACE, true),
            'b' => Escape::Boundary(r"(?-u:\b)"),
            'B' => Escape::Boundary(r"\B"),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\u{b}'),
            'f' => Escape::Char('\u{c}'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Escape::Char('\0'),
            '0'..='9' => return Err("a backreference takes more than linear time"),
            'k' if self.rest.peek() == Some(&'<') => {
                return Err("a backreference takes more than linear time");
            }
            'x' => self
                .hex(2)
                .and_then(char::from_u32)
                .map_or(Escape::Char('x'), Escape::Char),
            'u' => self.unicode()?,
            'c' => match self.rest.next_if(char::is_ascii_alphabetic) {
                Some(letter) => Escape::Char(char::from(letter as u8 % 32)),
                None => return Err("\\c wants a letter"),
            },
            other => Escape::Char(other),
        })
    }

    fn unicode(&mut self) -> Result<Escape, Reason> {
        let Some(first) = self.hex(4) else {
            return Ok(Escape::Char('u'));
        };
        if let Some(c) = char::from_u32(first) {
            return Ok(Escape::Char(c));
        }
        let lone = "half a surrogate pair is no character";
        if self.rest.next() != Some('\\') || self.rest.next() != Some('u') {
            return Err(lone);
        }
        let second = self
            .hex(4)
            .filter(|low| (0xDC00..0xE000).contains(low))
            .ok_or(lone)?;
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        char::from_u32(code).map(Escape::Char).ok_or(lone)
    }

    /// So many hex digits, taken only if they are all there.
    fn hex(&mut self, count: usize) -> Option<u32> {
        let mut rest = self.rest.clone();
        let mut value = 0;
        for _ in 0..count {
            value = value * 16 + rest.next()?.to_digit(16)?;
        }
        self.rest = rest;
        Some(value)
    }

    fn literal(&mut self, c: char) {
        self.out
            .push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// What follows an opening bracket.
    fn class(&mut self) -> Result<(), Reason> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut members = Vec::new();
        loop {
            match self.rest.next() {
                None => return Err("a class is not closed"),
                Some(']') => break,
                Some('\\') => members.push(match self.escape()? {
                    Escape::Char(c) => (Member::Char(c), true),
                    Escape::Class(set, not) => (Member::Class(set, not), true),
                    Escape::Boundary(r"\B") => (Member::Char('B'), true),
                    Escape::Boundary(_) => (Member::Char('\u{8}'), true),
                }),
                Some(c) => members.push((Member::Char(c), false)),
            }
        }
        if members.is_empty() {
            // Nothing is in the empty class, everything in its opposite.
            self.out
                .push_str(if negated { r"[\s\S]" } else { r"[^\s\S]" });
            return Ok(());
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        let mut at = 0;
        while let Some((member, _)) = members.get(at) {
            if let (
                Member::Char(from),
                Some((Member::Char('-'), false)),
                Some((Member::Char(to), _)),
            ) = (member, members.get(at + 1), members.get(at + 2))
            {
                self.member(*from);
                self.out.push('-');
                self.member(*to);
                at += 3;
                continue;
            }
            match member {
                Member::Char(c) => self.member(*c),
                Member::Class(set, false) => self.out.push_str(set),
                Member::Class(set, true) => self.out.extend(["[^", set, "]"]),
            }
            at += 1;
        }
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, c: char) {
        if c.is_ascii_punctuation() && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }
}
