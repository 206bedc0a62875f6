//! What may stand at the start of an expression.

use crate::ast::{Expr, ExprKind, Operator, Transform};
use crate::error::{Error, Result};
use crate::lexer::{Token, TokenKind};

use super::Parser;

impl Parser<'_> {
    /// The operand that starts with `token`, which was just taken.
    pub(super) fn prefix(&mut self, token: Token) -> Result<Expr> {
        let (start, end) = (token.start, token.end);
        let kind = match token.kind {
            TokenKind::Name(name) => ExprKind::Name(name),
            TokenKind::Variable(name) => ExprKind::Variable(name),
            TokenKind::Text(text) => ExprKind::Text(text),
            TokenKind::Number(number) => ExprKind::Number(number),
            TokenKind::Bool(value) => ExprKind::Bool(value),
            TokenKind::Null => ExprKind::Null,
            TokenKind::Regex { pattern, flags } => ExprKind::Regex { pattern, flags },
            TokenKind::End => ExprKind::Missing,
            TokenKind::Operator(operator) => match operator {
                "and" | "or" | "in" => ExprKind::Name(operator.to_owned()),
                "-" => ExprKind::Negate(Box::new(self.expression(70)?)),
                "*" => ExprKind::Wildcard,
                "**" => ExprKind::Descendants,
                "%" => ExprKind::Parent,
                "(" => self.block()?,
                "[" => self.array()?,
                "{" => ExprKind::Object(self.pairs()?),
                "|" => self.transform()?,
                _ => return Err(Error::new("S0211").at(end).token(operator)),
            },
        };
        self.node(kind, end, start)
    }

    fn block(&mut self) -> Result<ExprKind> {
        let mut parts = Vec::new();
        while !self.token.kind.is(")") {
            parts.push(self.expression(0)?);
            if !self.take(";")? {
                break;
            }
        }
        self.expect(")", true)?;
        Ok(ExprKind::Block(parts))
    }

    fn array(&mut self) -> Result<ExprKind> {
        let items = self.list("]", |parser| {
            let start = parser.token.start;
            let item = parser.expression(0)?;
            let position = parser.token.end;
            if !parser.take("..")? {
                return Ok(item);
            }
            let last = parser.expression(0)?;
            let range = ExprKind::Binary(Operator::Range, Box::new(item), Box::new(last));
            parser.node(range, position, start)
        })?;
        Ok(ExprKind::Array(items))
    }

    /// `|pattern|update, delete|`
    fn transform(&mut self) -> Result<ExprKind> {
        let pattern = self.expression(0)?;
        self.expect("|", false)?;
        let update = self.expression(0)?;
        let delete = if self.take(",")? {
            Some(self.expression(0)?)
        } else {
            None
        };
        self.expect("|", false)?;
        Ok(ExprKind::Transform(Box::new(Transform {
            pattern,
            update,
            delete,
        })))
    }
}
