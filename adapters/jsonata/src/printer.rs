//! A tree as text. What is printed is read back as the same tree: the parser keeps every pair of
//! parentheses as a block, so a tree's parts follow each other as they did in the text.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{Expr, ExprKind, Lambda, Pairs, Term, Transform};
use crate::lexer::is_bare_name;
use crate::stack::with_stack;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        with_stack(|| self.print(f))
    }
}

impl Expr {
    fn print(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Null => f.write_str("null"),
            ExprKind::Bool(value) => write!(f, "{value}"),
            ExprKind::Number(number) => f.write_str(&crate::value::number::to_text(*number)),
            ExprKind::Text(text) => quoted(f, text),
            ExprKind::Regex { pattern, flags } => write!(f, "/{pattern}/{flags}"),
            ExprKind::Name(name) if is_bare_name(name) => f.write_str(name),
            ExprKind::Name(name) => write!(f, "`{name}`"),
            ExprKind::Variable(name) => write!(f, "${name}"),
            ExprKind::Wildcard => f.write_str("*"),
            ExprKind::Descendants => f.write_str("**"),
            ExprKind::Parent => f.write_str("%"),
            ExprKind::Negate(operand) => write!(f, "-{operand}"),
            ExprKind::Array(items) => {
                f.write_str("[")?;
                separated(f, items, ", ")?;
                f.write_str("]")
            }
            ExprKind::Block(parts) => {
                f.write_str("(")?;
                separated(f, parts, "; ")?;
                f.write_str(")")
            }
            ExprKind::Object(pairs) => object(f, pairs),
            ExprKind::Binary(operator, left, right) => match operator.text() {
                "." => write!(f, "{left}.{right}"),
                text => write!(f, "{left} {text} {right}"),
            },
            ExprKind::Filter(left, predicate) => write!(f, "{left}[{predicate}]"),
            ExprKind::KeepArray(left) => write!(f, "{left}[]"),
            ExprKind::Group(left, pairs) => {
                write!(f, "{left}")?;
                object(f, pairs)
            }
            ExprKind::Sort(left, terms) => sort(f, left, terms),
            ExprKind::Focus(left, name) => write!(f, "{left}@${name}"),
            ExprKind::Index(left, name) => write!(f, "{left}#${name}"),
            ExprKind::Bind(name, value) => write!(f, "${name} := {value}"),
            ExprKind::Condition(condition, then, None) => write!(f, "{condition} ? {then}"),
            ExprKind::Condition(condition, then, Some(otherwise)) => {
                write!(f, "{condition} ? {then} : {otherwise}")
            }
            ExprKind::Elvis(left, right) => write!(f, "{left} ?: {right}"),
            ExprKind::Coalesce(left, right) => write!(f, "{left} ?? {right}"),
            ExprKind::Call(procedure, arguments) => call(f, procedure, arguments),
            ExprKind::Lambda(lambda) => print_lambda(f, lambda),
            ExprKind::Transform(transform) => print_transform(f, transform),
            ExprKind::Missing => Ok(()),
        }
    }
}

fn separated(f: &mut Formatter<'_>, items: &[Expr], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn object(f: &mut Formatter<'_>, pairs: &Pairs) -> fmt::Result {
    f.write_str("{")?;
    for (index, (key, value)) in pairs.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}{key}: {value}")?;
    }
    f.write_str("}")
}

fn sort(f: &mut Formatter<'_>, left: &Expr, terms: &[Term]) -> fmt::Result {
    write!(f, "{left}^(")?;
    for (index, term) in terms.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let order = if term.descending { ">" } else { "" };
        write!(f, "{comma}{order}{}", term.key)?;
    }
    f.write_str(")")
}

fn call(f: &mut Formatter<'_>, procedure: &Expr, arguments: &[Option<Expr>]) -> fmt::Result {
    write!(f, "{procedure}(")?;
    for (index, argument) in arguments.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        match argument {
            Some(argument) => write!(f, "{comma}{argument}")?,
            None => write!(f, "{comma}?")?,
        }
    }
    f.write_str(")")
}

fn print_lambda(f: &mut Formatter<'_>, lambda: &Lambda) -> fmt::Result {
    f.write_str("function(")?;
    for (index, parameter) in lambda.parameters.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(f, "{comma}${parameter}")?;
    }
    f.write_str(")")?;
    if let Some(signature) = &lambda.signature {
        write!(f, "{signature}")?;
    }
    write!(f, " {{ {} }}", lambda.body)
}

fn print_transform(f: &mut Formatter<'_>, transform: &Transform) -> fmt::Result {
    write!(f, "|{}|{}", transform.pattern, transform.update)?;
    match &transform.delete {
        Some(delete) => write!(f, ", {delete}|"),
        None => f.write_str("|"),
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn what_is_printed_is_read_back() {
        for source in [
            "1 + 2 * -(3 - 4) / 5 % 6",
            "Account.Order[0].Product[Price > 1][].`a b`^(>x, y){k: v, `and`: \"q\\\"\\u0001\"}",
            "a@$x#$i.b[$x = %.c and true or false in [1..3]] ~> $f(?, 2)",
            "function($x, $y)<n-s?:a<n>>{ $x ? $y : null }(1)",
            "λ(){ () }",
            "( $a := 1; $b := $a ?: 2 ?? 3; |a.**|{'b': *}, ['c']|; )",
            "$match('a', /[a/]\\/b/im).match & 'x' != `` .'y'",
            "- -1",
            "a ? b ? c : d",
            "$$ ~> $",
        ] {
            let tree = parse(source).unwrap();
            let printed = tree.to_string();
            assert_eq!(
                parse(&printed).unwrap(),
                tree,
                "{source} was printed as {printed}"
            );
            assert_eq!(parse(&printed).unwrap().to_string(), printed);
        }
    }
}
