//! The parser of paths.

use super::filter;
use super::function::Function;
use super::{Path, PathFault, Root, Step};

/// How many steps a path may have.
const STEPS: usize = 256;

/// A place in a text.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a str);

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn blank(&mut self) {
        self.0 = self.0.trim_start();
    }

    /// Skips blanks, then eats.
    pub(super) fn token(&mut self, token: &str) -> bool {
        self.blank();
        self.eat(token)
    }

    pub(super) fn expect(&mut self, token: &str) -> Result<(), PathFault> {
        if self.token(token) {
            return Ok(());
        }
        let found = self.peek().map_or("nothing".into(), |c| format!("{c:?}"));
        Err(PathFault(format!("expected {token:?}, found {found}")))
    }

    pub(super) fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !keep(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// A number without fraction.
    pub(super) fn integer(&mut self) -> Result<Option<i64>, PathFault> {
        self.blank();
        let start = self.0;
        self.eat("-");
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() {
            self.0 = start;
            return Ok(None);
        }
        let text = &start[..start.len() - self.0.len()];
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| PathFault(format!("the index {text} is too large")))
    }

    /// A text within single or double quotes, if one begins here.
    pub(super) fn quoted(&mut self) -> Result<Option<String>, PathFault> {
        self.blank();
        let Some(quote) = self.peek().filter(|c| matches!(c, '\'' | '"')) else {
            return Ok(None);
        };
        let mut characters = self.0.char_indices().skip(1);
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                end if end == quote => {
                    self.0 = self.0.get(at + 1..).unwrap_or_default();
                    return Ok(Some(text));
                }
                other => text.push(other),
            }
        }
        Err(PathFault(format!("the quote {quote} is not closed")))
    }
}

/// Where a path stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// By itself, or as an argument.
    Field,
    /// Within a filter, where operators end a name.
    Filter,
}

impl Place {
    fn is_name(self, character: char) -> bool {
        let ends = matches!(
            character,
            '.' | '[' | ']' | '(' | ')' | ',' | '\'' | '"' | '*'
        ) || character.is_whitespace()
            || self == Self::Filter && matches!(character, '=' | '!' | '<' | '>' | '&' | '|');
        !ends
    }
}

/// The path that `text` begins with, and the rest.
pub(super) fn path(text: &str) -> Result<(Path, &str), PathFault> {
    let mut cursor = Cursor(text);
    if !cursor.eat("$") {
        return Err(PathFault("a path begins with \"$\"".into()));
    }
    let root = if cursor.eat("$") {
        Root::Context
    } else {
        match variable(&mut cursor) {
            "" => Root::Input,
            name => Root::Variable(name.into()),
        }
    };
    let steps = steps(&mut cursor, Place::Field)?;
    let consumed = text.len() - cursor.0.len();
    let path = Path {
        text: text.get(..consumed).unwrap_or_default().into(),
        root,
        steps,
    };
    Ok((path, cursor.0))
}

fn variable<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    match cursor.peek() {
        Some(c) if c.is_alphabetic() || c == '_' => {
            cursor.take_while(|c| c.is_alphanumeric() || c == '_')
        }
        _ => "",
    }
}

/// What follows a root, as far as it goes.
pub(super) fn steps(cursor: &mut Cursor<'_>, place: Place) -> Result<Vec<Step>, PathFault> {
    let mut steps = Vec::new();
    loop {
        if steps.len() >= STEPS {
            return Err(PathFault(format!("a path has at most {STEPS} steps")));
        }
        if matches!(steps.last(), Some(Step::Function(_))) {
            return Ok(steps);
        }
        if cursor.eat("..") {
            steps.push(Step::Descend);
            let step = if cursor.peek() == Some('[') {
                bracket(cursor)?
            } else {
                dotted(cursor, place)?
            };
            steps.push(step);
        } else if cursor.eat(".") {
            steps.push(dotted(cursor, place)?);
        } else if cursor.peek() == Some('[') {
            steps.push(bracket(cursor)?);
        } else {
            return Ok(steps);
        }
    }
}

fn dotted(cursor: &mut Cursor<'_>, place: Place) -> Result<Step, PathFault> {
    if cursor.eat("*") {
        return Ok(Step::Wildcard);
    }
    let name = cursor.take_while(|c| place.is_name(c));
    if name.is_empty() {
        return Err(PathFault("a name must follow \".\"".into()));
    }
    if !cursor.eat("(") {
        return Ok(Step::Name(name.into()));
    }
    cursor.expect(")")?;
    let function = Function::named(name);
    function.map(Step::Function).ok_or_else(|| {
        PathFault(format!(
            "there is no function {name}(); there are {}",
            Function::NAMES
        ))
    })
}

fn bracket(cursor: &mut Cursor<'_>) -> Result<Step, PathFault> {
    cursor.expect("[")?;
    let step = if cursor.token("*") {
        Step::Wildcard
    } else if cursor.token("?") {
        Step::Filter(Box::new(filter::parse(cursor, 0)?))
    } else if let Some(name) = cursor.quoted()? {
        names(cursor, name)?
    } else {
        indices(cursor)?
    };
    cursor.expect("]")?;
    Ok(step)
}

fn names(cursor: &mut Cursor<'_>, first: String) -> Result<Step, PathFault> {
    let mut names = vec![first];
    while cursor.token(",") {
        let name = cursor.quoted()?;
        names.push(name.ok_or_else(|| PathFault("a quoted name must follow \",\"".into()))?);
    }
    Ok(match names.len() {
        1 => Step::Name(names.swap_remove(0)),
        _ => Step::Names(names),
    })
}

fn indices(cursor: &mut Cursor<'_>) -> Result<Step, PathFault> {
    let first = cursor.integer()?;
    if cursor.token(":") {
        let to = cursor.integer()?;
        let step = match cursor.token(":") {
            true => cursor.integer()?.unwrap_or(1),
            false => 1,
        };
        if step < 1 {
            return Err(PathFault("the step of a slice is at least 1".into()));
        }
        return Ok(Step::Slice {
            from: first,
            to,
            step,
        });
    }
    let missing =
        || PathFault("\"[\" is followed by a quoted name, a number, \"*\" or \"?\"".into());
    let mut indices = vec![first.ok_or_else(missing)?];
    while cursor.token(",") {
        indices.push(cursor.integer()?.ok_or_else(missing)?);
    }
    Ok(match *indices {
        [index] => Step::Index(index),
        _ => Step::Indices(indices),
    })
}
