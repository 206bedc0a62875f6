//! The tree of an expression as it is written, before anything is made of it.

use crate::signature::Signature;

/// How deep an expression may be nested. A chain of operators nests once per operator.
pub(crate) const MAX_NESTING: usize = 500;

/// Where a piece of an expression stands. All places are equal: trees are compared by what they
/// say, not by where they say it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Where the token that errors point at ends, in bytes: the reference points there, too.
    pub(crate) position: usize,
    /// All of the text, in bytes.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) place: Place,
    /// One more than the deepest of its parts.
    pub(crate) height: usize,
}

/// Pairs of keys and values.
pub(crate) type Pairs = Vec<(Expr, Expr)>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Regex {
        pattern: String,
        flags: String,
    },
    Name(String),
    Variable(String),
    Wildcard,
    Descendants,
    Parent,
    Negate(Box<Expr>),
    Array(Vec<Expr>),
    Object(Pairs),
    Block(Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Filter(Box<Expr>, Box<Expr>),
    /// `lhs[]`
    KeepArray(Box<Expr>),
    Group(Box<Expr>, Pairs),
    Sort(Box<Expr>, Vec<Term>),
    Focus(Box<Expr>, String),
    Index(Box<Expr>, String),
    Bind(String, Box<Expr>),
    Condition(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    Elvis(Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
    /// An argument of `None` is a `?`: the call is a partial application.
    Call(Box<Expr>, Vec<Option<Expr>>),
    Lambda(Box<Lambda>),
    Transform(Box<Transform>),
    /// Nothing where an operand should be: the text ended.
    Missing,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    pub(crate) descending: bool,
    pub(crate) key: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lambda {
    pub(crate) parameters: Vec<String>,
    pub(crate) signature: Option<Signature>,
    pub(crate) body: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transform {
    pub(crate) pattern: Expr,
    pub(crate) update: Expr,
    pub(crate) delete: Option<Expr>,
}

/// The operators between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Dot,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Concat,
    And,
    Or,
    In,
    Apply,
    Range,
}

impl Operator {
    /// Each operator's text and how strongly it binds to its left operand.
    const TABLE: [(Self, &'static str, u8); 18] = [
        (Self::Dot, ".", 75),
        (Self::Multiply, "*", 60),
        (Self::Divide, "/", 60),
        (Self::Modulo, "%", 60),
        (Self::Add, "+", 50),
        (Self::Subtract, "-", 50),
        (Self::Concat, "&", 50),
        (Self::Equal, "=", 40),
        (Self::NotEqual, "!=", 40),
        (Self::Less, "<", 40),
        (Self::LessEqual, "<=", 40),
        (Self::Greater, ">", 40),
        (Self::GreaterEqual, ">=", 40),
        (Self::In, "in", 40),
        (Self::Apply, "~>", 40),
        (Self::And, "and", 30),
        (Self::Or, "or", 25),
        (Self::Range, "..", 0),
    ];

    pub(crate) fn of(text: &str) -> Option<(Self, u8)> {
        let found = Self::TABLE
            .iter()
            .find(|(_, name, power)| *name == text && *power > 0);
        found.map(|(operator, _, power)| (*operator, *power))
    }

    pub(crate) fn text(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(operator, _, _)| *operator == self)
            .map_or("", |(_, text, _)| text)
    }
}
