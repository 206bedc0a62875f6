//! What may follow an operand.

use crate::ast::{Expr, ExprKind, Lambda, Operator, Term};
use crate::error::{Error, Result};
use crate::lexer::{Token, TokenKind};
use crate::signature::Signature;

use super::Parser;

/// How strongly a token binds to the operand on its left; 0 ends the expression.
pub(super) fn power(token: &TokenKind) -> u8 {
    let TokenKind::Operator(operator) = token else {
        return 0;
    };
    match *operator {
        "[" | "(" | "@" | "#" => 80,
        "{" => 70,
        "^" | "?:" | "??" => 40,
        "?" => 20,
        ":=" => 10,
        other => Operator::of(other).map_or(0, |(_, power)| power),
    }
}

impl Parser<'_> {
    /// The expression of `left`, which started at `start`, and the operator just taken.
    pub(super) fn infix(&mut self, left: Expr, token: Token, start: usize) -> Result<Expr> {
        let TokenKind::Operator(operator) = token.kind else {
            return Ok(left);
        };
        let position = token.end;
        let kind = match operator {
            "[" => self.filter(left)?,
            "(" => return self.call(left, position, start),
            "@" => {
                let (left, name) = self.binding(left, "@")?;
                ExprKind::Focus(left, name)
            }
            "#" => {
                let (left, name) = self.binding(left, "#")?;
                ExprKind::Index(left, name)
            }
            "{" => ExprKind::Group(Box::new(left), self.pairs()?),
            "^" => self.sort(left)?,
            "?" => {
                let then = Box::new(self.expression(0)?);
                let otherwise = if self.take(":")? {
                    Some(Box::new(self.expression(0)?))
                } else {
                    None
                };
                ExprKind::Condition(Box::new(left), then, otherwise)
            }
            "?:" => ExprKind::Elvis(Box::new(left), Box::new(self.expression(0)?)),
            "??" => ExprKind::Coalesce(Box::new(left), Box::new(self.expression(0)?)),
            ":=" => match left.kind {
                ExprKind::Variable(name) => ExprKind::Bind(name, Box::new(self.expression(9)?)),
                other => {
                    return Err(Error::new("S0212")
                        .at(left.place.position)
                        .token(token_of(&other)));
                }
            },
            other => {
                let Some((operator, power)) = Operator::of(other) else {
                    return Err(Error::new("S0201").at(position).token(other));
                };
                ExprKind::Binary(operator, Box::new(left), Box::new(self.expression(power)?))
            }
        };
        self.node(kind, position, start)
    }

    /// `left[]` or `left[predicate]`
    fn filter(&mut self, left: Expr) -> Result<ExprKind> {
        if self.take("]")? {
            return Ok(ExprKind::KeepArray(Box::new(left)));
        }
        let predicate = self.expression(0)?;
        self.expect("]", true)?;
        Ok(ExprKind::Filter(Box::new(left), Box::new(predicate)))
    }

    /// The variable on the right of `@` or `#`.
    fn binding(&mut self, left: Expr, operator: &str) -> Result<(Box<Expr>, String)> {
        let right = self.expression(80)?;
        match right.kind {
            ExprKind::Variable(name) => Ok((Box::new(left), name)),
            _ => Err(Error::new("S0214").at(right.place.position).token(operator)),
        }
    }

    /// `left^(<key, >key, …)`
    fn sort(&mut self, left: Expr) -> Result<ExprKind> {
        self.expect("(", false)?;
        let mut terms = Vec::new();
        loop {
            let descending = !self.take("<")? && self.take(">")?;
            terms.push(Term {
                descending,
                key: self.expression(0)?,
            });
            if !self.take(",")? {
                break;
            }
        }
        self.expect(")", false)?;
        Ok(ExprKind::Sort(Box::new(left), terms))
    }

    /// `left(argument, ?, …)`, or the definition of a function where `left` says so.
    fn call(&mut self, left: Expr, position: usize, start: usize) -> Result<Expr> {
        let arguments = self.list(")", |parser| {
            if parser.take("?")? {
                Ok(None)
            } else {
                parser.expression(0).map(Some)
            }
        })?;
        let kind = match &left.kind {
            ExprKind::Name(name) if name == "function" || name == "λ" => {
                self.lambda(arguments, position)?
            }
            _ => ExprKind::Call(Box::new(left), arguments),
        };
        self.node(kind, position, start)
    }

    fn lambda(&mut self, arguments: Vec<Option<Expr>>, position: usize) -> Result<ExprKind> {
        let mut parameters = Vec::with_capacity(arguments.len());
        for (index, argument) in arguments.into_iter().enumerate() {
            let (at, found) = match argument {
                Some(Expr {
                    kind: ExprKind::Variable(name),
                    ..
                }) => {
                    parameters.push(name);
                    continue;
                }
                Some(other) => (other.place.position, token_of(&other.kind)),
                None => (position, "?".to_owned()),
            };
            return Err(Error::new("S0208")
                .at(at)
                .token(found)
                .with("value", index + 1));
        }
        let signature = if self.token.kind.is("<") {
            Some(self.signature()?)
        } else {
            None
        };
        self.expect("{", false)?;
        let body = self.expression(0)?;
        self.expect("}", false)?;
        Ok(ExprKind::Lambda(Box::new(Lambda {
            parameters,
            signature,
            body,
        })))
    }

    /// The text between angle brackets, put together from its tokens.
    fn signature(&mut self) -> Result<Signature> {
        let position = self.token.end;
        let mut text = "<".to_owned();
        let mut depth = 1;
        while depth > 0 && !self.token.kind.is("{") && self.token.kind != TokenKind::End {
            self.advance(false)?;
            match self.token.kind {
                TokenKind::Operator(">") => depth -= 1,
                TokenKind::Operator("<") => depth += 1,
                _ => {}
            }
            text.push_str(&self.token.kind.text());
        }
        self.expect(">", false)?;
        Signature::parse(&text).map_err(|(error, offset)| error.at(position + offset))
    }
}

/// How an error quotes an expression that should have been another.
fn token_of(kind: &ExprKind) -> String {
    match kind {
        ExprKind::Name(text) | ExprKind::Text(text) | ExprKind::Variable(text) => text.clone(),
        ExprKind::Number(number) => crate::value::number::to_text(*number),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Null => "null".to_owned(),
        ExprKind::Binary(operator, ..) => operator.text().to_owned(),
        ExprKind::Negate(_) => "-".to_owned(),
        ExprKind::Array(_) | ExprKind::Filter(..) | ExprKind::KeepArray(_) => "[".to_owned(),
        ExprKind::Object(_) | ExprKind::Group(..) => "{".to_owned(),
        ExprKind::Block(_) | ExprKind::Call(..) | ExprKind::Lambda(_) => "(".to_owned(),
        ExprKind::Sort(..) => "^".to_owned(),
        ExprKind::Focus(..) => "@".to_owned(),
        ExprKind::Index(..) => "#".to_owned(),
        ExprKind::Bind(..) => ":=".to_owned(),
        ExprKind::Condition(..) => "?".to_owned(),
        ExprKind::Elvis(..) => "?:".to_owned(),
        ExprKind::Coalesce(..) => "??".to_owned(),
        ExprKind::Transform(_) => "|".to_owned(),
        ExprKind::Wildcard => "*".to_owned(),
        ExprKind::Descendants => "**".to_owned(),
        ExprKind::Parent => "%".to_owned(),
        ExprKind::Regex { pattern, flags } => format!("/{pattern}/{flags}"),
        ExprKind::Missing => "(end)".to_owned(),
    }
}
