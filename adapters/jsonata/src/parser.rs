//! Tokens to a tree, by Vaughan Pratt's top-down operator precedence.

mod infix;
mod prefix;

use crate::ast::{Expr, ExprKind, MAX_NESTING, Place};
use crate::error::{Error, Result};
use crate::lexer::{Lexer, Token, TokenKind};
use crate::stack::with_stack;

/// The tree of `source`.
pub(crate) fn parse(source: &str) -> Result<Expr> {
    let mut lexer = Lexer::new(source);
    let token = next(&mut lexer, false)?;
    let mut parser = Parser {
        lexer,
        token,
        end: 0,
        depth: 0,
    };
    let expr = parser.expression(0)?;
    if parser.token.kind != TokenKind::End {
        return Err(Error::new("S0201")
            .at(parser.token.end)
            .token(parser.token.kind.text()));
    }
    Ok(expr)
}

/// The next token; two characters that end names are operators only together with another.
fn next(lexer: &mut Lexer<'_>, infix: bool) -> Result<Token> {
    let token = lexer.next(infix)?;
    match token.kind {
        TokenKind::Operator(operator @ ("!" | "~")) => {
            Err(Error::new("S0204").at(token.end).token(operator))
        }
        _ => Ok(token),
    }
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    /// The token that is looked at.
    token: Token,
    /// Where the last token that was taken ends.
    end: usize,
    /// How many expressions are open.
    depth: usize,
}

impl Parser<'_> {
    /// Takes the token; what follows is read as after an operand where `infix` says so.
    fn advance(&mut self, infix: bool) -> Result<Token> {
        self.end = self.token.end;
        let next = next(&mut self.lexer, infix)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Takes the token, which must be this operator.
    fn expect(&mut self, operator: &str, infix: bool) -> Result<Token> {
        if self.token.kind.is(operator) {
            return self.advance(infix);
        }
        let code = if self.token.kind == TokenKind::End {
            "S0203"
        } else {
            "S0202"
        };
        let error = Error::new(code)
            .at(self.token.end)
            .token(self.token.kind.text());
        Err(error.with("value", operator))
    }

    /// Takes the token if it is this operator.
    fn take(&mut self, operator: &str) -> Result<bool> {
        let found = self.token.kind.is(operator);
        if found {
            self.advance(false)?;
        }
        Ok(found)
    }

    /// An expression of operators that bind more strongly than `power`.
    fn expression(&mut self, power: u8) -> Result<Expr> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(self.too_deep());
        }
        let expr = with_stack(|| {
            let start = self.token.start;
            let token = self.advance(true)?;
            let mut left = self.prefix(token)?;
            while power < infix::power(&self.token.kind) {
                let token = self.advance(false)?;
                left = self.infix(left, token, start)?;
            }
            Ok(left)
        })?;
        self.depth -= 1;
        Ok(expr)
    }

    /// A node whose text started at `start` and ends with the token taken last.
    fn node(&self, kind: ExprKind, position: usize, start: usize) -> Result<Expr> {
        let height = 1 + parts_height(&kind);
        if height > MAX_NESTING {
            return Err(self.too_deep());
        }
        Ok(Expr {
            kind,
            place: Place {
                position,
                start,
                end: self.end.max(start),
            },
            height,
        })
    }

    fn too_deep(&self) -> Error {
        Error::new("S0218")
            .at(self.token.end)
            .with("value", MAX_NESTING)
    }

    /// Expressions between commas, up to `close`.
    fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        if !self.token.kind.is(close) {
            loop {
                items.push(item(self)?);
                if !self.take(",")? {
                    break;
                }
            }
        }
        self.expect(close, true)?;
        Ok(items)
    }

    /// `key: value, …}`
    fn pairs(&mut self) -> Result<Vec<(Expr, Expr)>> {
        self.list("}", |parser| {
            let key = parser.expression(0)?;
            parser.expect(":", false)?;
            Ok((key, parser.expression(0)?))
        })
    }
}

fn parts_height(kind: &ExprKind) -> usize {
    let of = |exprs: &[&Expr]| exprs.iter().map(|e| e.height).max().unwrap_or(0);
    let of_pairs = |pairs: &[(Expr, Expr)]| {
        pairs
            .iter()
            .map(|(key, value)| key.height.max(value.height))
            .max()
            .unwrap_or(0)
    };
    match kind {
        ExprKind::Negate(a)
        | ExprKind::KeepArray(a)
        | ExprKind::Focus(a, _)
        | ExprKind::Index(a, _)
        | ExprKind::Bind(_, a) => a.height,
        ExprKind::Array(items) | ExprKind::Block(items) => {
            items.iter().map(|e| e.height).max().unwrap_or(0)
        }
        ExprKind::Object(pairs) => of_pairs(pairs),
        ExprKind::Binary(_, a, b)
        | ExprKind::Filter(a, b)
        | ExprKind::Elvis(a, b)
        | ExprKind::Coalesce(a, b) => of(&[a, b]),
        ExprKind::Group(a, pairs) => a.height.max(of_pairs(pairs)),
        ExprKind::Sort(a, terms) => a
            .height
            .max(terms.iter().map(|t| t.key.height).max().unwrap_or(0)),
        ExprKind::Condition(a, b, c) => of(&[a, b]).max(c.as_ref().map_or(0, |c| c.height)),
        ExprKind::Call(a, arguments) => a.height.max(
            arguments
                .iter()
                .flatten()
                .map(|e| e.height)
                .max()
                .unwrap_or(0),
        ),
        ExprKind::Lambda(lambda) => lambda.body.height,
        ExprKind::Transform(t) => {
            of(&[&t.pattern, &t.update]).max(t.delete.as_ref().map_or(0, |e| e.height))
        }
        ExprKind::Null
        | ExprKind::Bool(_)
        | ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Regex { .. }
        | ExprKind::Name(_)
        | ExprKind::Variable(_)
        | ExprKind::Wildcard
        | ExprKind::Descendants
        | ExprKind::Parent
        | ExprKind::Missing => 0,
    }
}
