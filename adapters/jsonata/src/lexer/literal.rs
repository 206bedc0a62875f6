//! The tokens with an inside: texts, numbers, quoted names, regular expressions.

use crate::error::{Error, Result};

use super::{Lexer, TokenKind};

impl Lexer<'_> {
    pub(super) fn text(&mut self, quote: char) -> Result<TokenKind> {
        self.position += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(Error::new("S0101").at(self.position));
            };
            self.position += c.len_utf8();
            match c {
                '\\' => text.push(self.escape()?),
                c if c == quote => return Ok(TokenKind::Text(text)),
                c => text.push(c),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char> {
        let at = self.position;
        let Some(c) = self.peek() else {
            return Err(Error::new("S0103").at(at).token(""));
        };
        self.position += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(at),
            _ => return Err(Error::new("S0103").at(at).token(c)),
        })
    }

    /// Four hex digits, and four more where they are the first half of a surrogate pair. Half a
    /// pair alone is no character: a Rust text cannot hold it, so it is an error here.
    fn unicode(&mut self, at: usize) -> Result<char> {
        // Digits that the end of the text cuts short are of a text that has no end.
        let cut = matches!(self.rest().len(), 1..=3)
            && self.rest().bytes().all(|b| b.is_ascii_hexdigit());
        let fault = || Error::new(if cut { "S0101" } else { "S0104" }).at(at);
        let first = self.hex4().ok_or_else(fault)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(fault);
        }
        if !self.rest().starts_with("\\u") {
            return Err(fault());
        }
        self.position += 2;
        let second = self
            .hex4()
            .filter(|low| (0xDC00..0xE000).contains(low))
            .ok_or_else(fault)?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(fault)
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.position += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    pub(super) fn number(&mut self) -> Result<TokenKind> {
        let rest = self.rest().as_bytes();
        let digits = |from: usize| {
            rest[from.min(rest.len())..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count()
        };
        let mut length = if rest[0] == b'0' { 1 } else { digits(0) };
        if rest.get(length) == Some(&b'.') && digits(length + 1) > 0 {
            length += 1 + digits(length + 1);
        }
        if matches!(rest.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
            let exponent = digits(length + 1 + sign);
            if exponent > 0 {
                length += 1 + sign + exponent;
            }
        }
        let text = &self.rest()[..length];
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.position += length;
                Ok(TokenKind::Number(number))
            }
            _ => Err(Error::new("S0102").at(self.position).token(text)),
        }
    }

    pub(super) fn quoted_name(&mut self) -> Result<TokenKind> {
        let start = self.position + 1;
        match self.source[start..].find('`') {
            Some(length) => {
                self.position = start + length + 1;
                Ok(TokenKind::Name(
                    self.source[start..start + length].to_owned(),
                ))
            }
            None => Err(Error::new("S0105").at(self.source.len())),
        }
    }

    /// Up to the slash that is not escaped and not within brackets.
    pub(super) fn regex(&mut self) -> Result<TokenKind> {
        let start = self.position + 1;
        let bytes = self.source.as_bytes();
        let mut depth = 0_i64;
        let mut escaped = false;
        for at in start..bytes.len() {
            match bytes[at] {
                b'/' if depth == 0 && !escaped => {
                    if at == start {
                        return Err(Error::new("S0301").at(at));
                    }
                    let after = &self.source[at + 1..];
                    let flags = after.len() - after.trim_start_matches(['i', 'm']).len();
                    self.position = at + 1 + flags;
                    return Ok(TokenKind::Regex {
                        pattern: self.source[start..at].to_owned(),
                        flags: after[..flags].to_owned(),
                    });
                }
                b'(' | b'[' | b'{' if bytes[at - 1] != b'\\' => depth += 1,
                b')' | b']' | b'}' if bytes[at - 1] != b'\\' => depth -= 1,
                _ => {}
            }
            escaped = bytes[at] == b'\\' && !escaped;
        }
        Err(Error::new("S0302").at(self.source.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(source: &str) -> Result<TokenKind> {
        Lexer::new(source).next(false).map(|token| token.kind)
    }

    #[test]
    fn escapes() {
        let text = TokenKind::Text("a\"\\/\u{8}\u{c}\n\r\t𝄞é".into());
        assert_eq!(
            first(r#""a\"\\\/\b\f\n\r\t\uD834\uDD1E\u00e9""#).unwrap(),
            text
        );
        for (source, code) in [
            (r#""\u12g4""#, "S0104"),
            (r#""\ud834""#, "S0104"),
            (r#""\ud834\u0041""#, "S0104"),
            (r#""\y""#, "S0103"),
            ("\"abc", "S0101"),
            ("\"abc\\", "S0103"),
            ("`abc", "S0105"),
            ("1e1000", "S0102"),
            ("//", "S0301"),
            ("/a", "S0302"),
        ] {
            assert_eq!(first(source).unwrap_err().code(), code, "{source}");
        }
    }

    #[test]
    fn numbers_end_where_the_grammar_says() {
        for (source, number, length) in [
            ("0", 0.0, 1),
            ("01", 0.0, 1),
            ("12.5e-1x", 1.25, 7),
            ("1.", 1.0, 1),
            ("1e", 1.0, 1),
            ("1..2", 1.0, 1),
        ] {
            let token = Lexer::new(source).next(false).unwrap();
            assert_eq!(
                (token.kind, token.end),
                (TokenKind::Number(number), length),
                "{source}"
            );
        }
    }

    #[test]
    fn an_escaped_slash_is_part_of_a_regex() {
        let TokenKind::Regex { pattern, .. } = first(r"/a\/b\\/").unwrap() else {
            panic!()
        };
        assert_eq!(pattern, r"a\/b\\");
    }
}
