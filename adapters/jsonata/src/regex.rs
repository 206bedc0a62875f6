//! Regular expressions: JavaScript's syntax on an engine whose time is linear in the text.

mod translate;

use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};

/// How much memory a compiled expression may take, in bytes.
const SIZE: usize = 1 << 20;

/// A compiled regular expression.
#[derive(Debug)]
pub(crate) struct Matcher {
    pattern: Box<str>,
    regex: Regex,
}

/// One match; offsets are in bytes.
#[derive(Debug)]
pub(crate) struct Match<'t> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: &'t str,
    pub(crate) groups: Vec<Option<&'t str>>,
}

impl Matcher {
    /// Compiles what stands between slashes. What has no linear-time counterpart (lookaround,
    /// backreferences) is refused, and the error says so.
    pub(crate) fn new(pattern: &str, flags: &str) -> Result<Self> {
        let refuse = |reason: String| {
            Error::new("S0303")
                .with("value", pattern)
                .with("reason", reason)
        };
        let translated =
            translate::translate(pattern).map_err(|reason| refuse(reason.to_owned()))?;
        let mut builder = RegexBuilder::new(&translated);
        builder
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'));
        let regex = builder.size_limit(SIZE).build().map_err(|error| {
            let text = error.to_string();
            refuse(
                text.lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned(),
            )
        })?;
        Ok(Self {
            pattern: pattern.into(),
            regex,
        })
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The first match that starts at `from` or later.
    pub(crate) fn find<'t>(&self, text: &'t str, from: usize) -> Option<Match<'t>> {
        if self.regex.captures_len() == 1 {
            let found = self.regex.find_at(text, from)?;
            let (start, end) = (found.start(), found.end());
            return Some(Match {
                start,
                end,
                text: found.as_str(),
                groups: Vec::new(),
            });
        }
        let captures = self.regex.captures_at(text, from)?;
        let whole = captures.get(0)?;
        let groups = captures
            .iter()
            .skip(1)
            .map(|group| group.map(|g| g.as_str()))
            .collect();
        Some(Match {
            start: whole.start(),
            end: whole.end(),
            text: whole.as_str(),
            groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pattern: &str, flags: &str, text: &str) -> Option<String> {
        let matcher = Matcher::new(pattern, flags).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        matcher.find(text, 0).map(|found| found.text.to_owned())
    }

    #[test]
    fn javascript_syntax() {
        for (pattern, text, found) in [
            (r"\d+", "٣12", "12"),
            (r"\w+", "é_a1", "_a1"),
            (r"a.c", "a\nc abc", "abc"),
            (r"[^]", "\n", "\n"),
            (r"[\w-]+", " a-b", "a-b"),
            (r"[\s\S]+", "a\nb", "a\nb"),
            (r"[a&&b]+", "b&a", "b&a"),
            (r"[[]", "[", "["),
            (r"a{", "a{", "a{"),
            (r"a{2}", "aaa", "aa"),
            (r"{x}]", "{x}]", "{x}]"),
            (r"\u0041\x42\cJ\0", "AB\n\0", "AB\n\0"),
            (r"\/\-\@\q", "/-@q", "/-@q"),
            (r"\bfoo\b", "éfoo", "foo"),
            (r"[\b]", "\u{8}", "\u{8}"),
            (r"[^\d\s]+", "1 a", "a"),
            (r"(?:a)(?<n>b)", "ab", "ab"),
            (r"\uD834\uDD1E", "𝄞", "𝄞"),
        ] {
            assert_eq!(
                first(pattern, "", text).as_deref(),
                Some(found),
                "{pattern}"
            );
        }
        assert_eq!(first("[]", "", "a"), None);
        assert_eq!(first("A", "i", "a").as_deref(), Some("a"));
        assert_eq!(first("^b$", "m", "a\nb").as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_linear_is_refused() {
        for (pattern, word) in [
            ("a(?=b)", "lookahead"),
            ("(?<!a)b", "lookbehind"),
            (r"(a)\1", "backreference"),
        ] {
            let error = Matcher::new(pattern, "").unwrap_err();
            assert_eq!(error.code(), "S0303");
            assert!(error.message().contains(word), "{}", error.message());
        }
        assert_eq!(Matcher::new("(", "").unwrap_err().code(), "S0303");
        assert_eq!(
            Matcher::new("(a{1000}){1000}", "").unwrap_err().code(),
            "S0303"
        );
    }
}
