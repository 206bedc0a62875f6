//! From the tree as it is written to steps with their stages.

mod steps;

use crate::ast::{self, Expr, ExprKind, Operator, Pairs};
use crate::error::{Error, Result};
use crate::regex::Matcher;
use crate::stack::with_stack;

use super::ancestry::Ancestry;
use super::{
    Block, Call, Condition, Group, Kind, Lambda, Node, Partial, Path, Scope, Transform, Variable,
};

pub(super) fn normalize(expr: &Expr) -> Result<Node> {
    let mut normalizer = Normalizer {
        ancestry: Ancestry::default(),
    };
    let mut node = normalizer.node(expr, false)?;
    if matches!(node.kind, Kind::Parent { .. }) || node.is_seeking() {
        return Err(node.error("S0217").token(node.type_name()));
    }
    normalizer.ancestry.name(&mut node);
    Ok(node)
}

struct Normalizer {
    ancestry: Ancestry,
}

impl Normalizer {
    /// The node of `expr`; `keep` where `[]` follows it.
    fn node(&mut self, expr: &Expr, keep: bool) -> Result<Node> {
        let mut node = with_stack(|| self.convert(expr, keep))?;
        node.keep_array |= keep && !matches!(expr.kind, ExprKind::Filter(..));
        Ok(node)
    }

    fn convert(&mut self, expr: &Expr, keep: bool) -> Result<Node> {
        let kind = match &expr.kind {
            ExprKind::Null => Kind::Null,
            ExprKind::Bool(value) => Kind::Bool(*value),
            ExprKind::Number(number) => Kind::Number(*number),
            ExprKind::Text(text) => Kind::Text(text.as_str().into()),
            ExprKind::Regex { pattern, flags } => {
                let matcher = Matcher::new(pattern, flags);
                Kind::Regex(Box::new(
                    matcher.map_err(|error| error.at(expr.place.position))?,
                ))
            }
            ExprKind::Name(name) => return Ok(name_path(expr, name, keep)),
            ExprKind::Variable(name) if name.is_empty() => Kind::Context,
            ExprKind::Variable(name) => Kind::Variable(Variable::named(name)),
            ExprKind::Wildcard => Kind::Wildcard,
            ExprKind::Descendants => Kind::Descendants,
            ExprKind::Parent => self.ancestry.parent(),
            ExprKind::Negate(operand) => return self.negate(expr, operand),
            ExprKind::Array(items) => return self.array(expr, items),
            ExprKind::Object(pairs) => return self.object(expr, pairs),
            ExprKind::Block(parts) => return self.block(expr, parts),
            ExprKind::Binary(Operator::Dot, left, right) => return self.dot(expr, left, right),
            ExprKind::Binary(Operator::Apply, left, right) => return self.apply(expr, left, right),
            ExprKind::Binary(operator, left, right) => {
                return self.two(expr, left, right, |pair| Kind::Binary(*operator, pair));
            }
            ExprKind::Elvis(left, right) => return self.two(expr, left, right, Kind::Elvis),
            ExprKind::Coalesce(left, right) => return self.two(expr, left, right, Kind::Coalesce),
            ExprKind::Filter(left, predicate) => return self.filter(expr, left, predicate, keep),
            ExprKind::KeepArray(left) => return self.node(left, true),
            ExprKind::Group(left, pairs) => return self.group(expr, left, pairs),
            ExprKind::Sort(left, terms) => return self.sort(expr, left, terms),
            ExprKind::Focus(left, name) => return self.focus(expr, left, name, keep),
            ExprKind::Index(left, name) => return self.index(left, name),
            ExprKind::Bind(name, value) => {
                let value = self.node(value, false)?;
                let mut node = Node::new(Kind::Null, expr.place);
                node.adopt(&value);
                node.kind = Kind::Bind(Box::new((Variable::named(name), value)));
                return Ok(node);
            }
            ExprKind::Condition(condition, then, otherwise) => {
                return self.condition(expr, condition, then, otherwise.as_deref());
            }
            ExprKind::Call(procedure, arguments) => return self.call(expr, procedure, arguments),
            ExprKind::Lambda(lambda) => self.lambda(lambda)?,
            ExprKind::Transform(transform) => self.transform(transform)?,
            ExprKind::Missing => {
                return Err(Error::new("S0207").at(expr.place.position).token("(end)"));
            }
        };
        Ok(Node::new(kind, expr.place))
    }

    fn negate(&mut self, expr: &Expr, operand: &Expr) -> Result<Node> {
        let mut operand = self.node(operand, false)?;
        if let Kind::Number(number) = &mut operand.kind {
            *number = -*number;
            return Ok(operand);
        }
        let mut node = Node::new(Kind::Null, expr.place);
        node.adopt(&operand);
        node.kind = Kind::Negate(Box::new(operand));
        Ok(node)
    }

    fn nodes(&mut self, exprs: &[Expr], parent: &mut Node) -> Result<Vec<Node>> {
        let mut nodes = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let node = self.node(expr, false)?;
            parent.adopt(&node);
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn array(&mut self, expr: &Expr, items: &[Expr]) -> Result<Node> {
        let mut node = Node::new(Kind::Null, expr.place);
        node.kind = Kind::Array(self.nodes(items, &mut node)?);
        Ok(node)
    }

    fn pairs(&mut self, pairs: &Pairs) -> Result<Vec<(Node, Node)>> {
        pairs
            .iter()
            .map(|(k, v)| Ok((self.node(k, false)?, self.node(v, false)?)))
            .collect()
    }

    fn object(&mut self, expr: &Expr, pairs: &Pairs) -> Result<Node> {
        let pairs = self.pairs(pairs)?;
        let mut node = Node::new(Kind::Null, expr.place);
        for (key, value) in &pairs {
            node.adopt(key);
            node.adopt(value);
        }
        node.kind = Kind::Object(Box::new(Group {
            pairs,
            position: expr.place.position,
        }));
        Ok(node)
    }

    fn block(&mut self, expr: &Expr, parts: &[Expr]) -> Result<Node> {
        let mut node = Node::new(Kind::Null, expr.place);
        let parts = self.nodes(parts, &mut node)?;
        node.constructed = parts.iter().any(|part| match &part.kind {
            Kind::Path(path) => part.constructed || path.steps[0].constructed,
            _ => part.constructed,
        });
        node.kind = Kind::Block(Box::new(Block {
            parts,
            scope: Scope::default(),
        }));
        Ok(node)
    }

    fn two(
        &mut self,
        expr: &Expr,
        left: &Expr,
        right: &Expr,
        kind: impl FnOnce(Box<(Node, Node)>) -> Kind,
    ) -> Result<Node> {
        let pair = (self.node(left, false)?, self.node(right, false)?);
        let mut node = Node::new(Kind::Null, expr.place);
        node.adopt(&pair.0);
        node.adopt(&pair.1);
        node.kind = kind(Box::new(pair));
        Ok(node)
    }

    /// Parents do not pass a `~>`, as in the reference.
    fn apply(&mut self, expr: &Expr, left: &Expr, right: &Expr) -> Result<Node> {
        let pair = (self.node(left, false)?, self.node(right, false)?);
        let keep = pair.0.keep_array || pair.1.keep_array;
        let mut node = Node::new(Kind::Apply(Box::new(pair)), expr.place);
        node.keep_array = keep;
        Ok(node)
    }

    fn condition(
        &mut self,
        expr: &Expr,
        condition: &Expr,
        then: &Expr,
        otherwise: Option<&Expr>,
    ) -> Result<Node> {
        let mut node = Node::new(Kind::Null, expr.place);
        let condition = self.node(condition, false)?;
        node.adopt(&condition);
        let then = self.node(then, false)?;
        node.adopt(&then);
        let otherwise = otherwise.map(|expr| self.node(expr, false)).transpose()?;
        if let Some(otherwise) = &otherwise {
            node.adopt(otherwise);
        }
        node.kind = Kind::Condition(Box::new(Condition {
            condition,
            then,
            otherwise,
        }));
        Ok(node)
    }

    fn call(&mut self, expr: &Expr, procedure: &Expr, given: &[Option<Expr>]) -> Result<Node> {
        let mut node = Node::new(Kind::Null, expr.place);
        let mut arguments = Vec::with_capacity(given.len());
        for argument in given {
            let argument = argument
                .as_ref()
                .map(|expr| self.node(expr, false))
                .transpose()?;
            if let Some(argument) = &argument {
                node.adopt(argument);
            }
            arguments.push(argument);
        }
        let procedure = self.node(procedure, false)?;
        let meant = match &procedure.kind {
            Kind::Path(path) => match &path.steps[0].kind {
                Kind::Name(name) => Some(Variable::named(name)),
                _ => None,
            },
            _ => None,
        };
        node.kind = if arguments.iter().any(Option::is_none) {
            Kind::Partial(Box::new(Partial {
                procedure,
                arguments,
                meant,
            }))
        } else {
            let arguments = arguments.into_iter().flatten().collect();
            Kind::Call(Box::new(Call {
                procedure,
                arguments,
                meant,
                tail: false,
            }))
        };
        Ok(node)
    }

    fn lambda(&mut self, lambda: &ast::Lambda) -> Result<Kind> {
        let mut body = self.node(&lambda.body, false)?;
        mark_tail_calls(&mut body);
        Ok(Kind::Lambda(Box::new(Lambda {
            parameters: lambda
                .parameters
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            signature: lambda.signature.clone(),
            body,
            scope: Scope::default(),
            stack: 0,
        })))
    }

    fn transform(&mut self, transform: &ast::Transform) -> Result<Kind> {
        Ok(Kind::Transform(Box::new(Transform {
            pattern: self.node(&transform.pattern, false)?,
            update: self.node(&transform.update, false)?,
            delete: transform
                .delete
                .as_ref()
                .map(|expr| self.node(expr, false))
                .transpose()?,
            clone: Variable::named("clone"),
            scope: Scope::default(),
            stack: 0,
        })))
    }
}

fn name_path(expr: &Expr, name: &str, keep: bool) -> Node {
    let mut step = Node::new(Kind::Name(name.into()), expr.place);
    step.keep_array = keep;
    let path = Path::new(vec![step], keep);
    Node::new(Kind::Path(Box::new(path)), expr.place)
}

/// A call that a function ends with needs no step of the stack.
fn mark_tail_calls(node: &mut Node) {
    let whole = node.extras.is_none() && !node.keep_array;
    match &mut node.kind {
        Kind::Call(call) if whole => call.tail = true,
        Kind::Condition(condition) if whole => {
            mark_tail_calls(&mut condition.then);
            if let Some(otherwise) = &mut condition.otherwise {
                mark_tail_calls(otherwise);
            }
        }
        Kind::Elvis(pair) | Kind::Coalesce(pair) if whole => mark_tail_calls(&mut pair.1),
        Kind::Block(block) if whole => {
            if let Some(last) = block.parts.last_mut() {
                mark_tail_calls(last);
            }
        }
        _ => {}
    }
}
