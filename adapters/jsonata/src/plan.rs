//! The tree that is evaluated: paths flattened to steps, parents found, variables resolved to
//! slots.

mod ancestry;
mod normalize;
mod resolve;
mod visit;

use crate::ast::{Expr, Operator, Place};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::function::Native;
use crate::parser;
use crate::regex::Matcher;
use crate::signature::Signature;

/// An expression ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    pub(crate) scope: Scope,
    /// How many slots of the stack the outermost scopes take.
    pub(crate) stack: usize,
    /// The names that no scope binds for certain: bindings of the caller, and functions.
    pub(crate) globals: Vec<Global>,
    /// The names among them that are no functions, and that nothing in the expression binds.
    pub(crate) free: Vec<Box<str>>,
}

/// A name from outside the expression, and the function that it is unless the caller binds it.
#[derive(Clone, Debug)]
pub(crate) struct Global {
    pub(crate) name: Box<str>,
    pub(crate) native: Option<&'static Native>,
}

impl Plan {
    pub(crate) fn of(expr: &Expr, dialect: Dialect) -> Result<Self> {
        resolve::resolve(normalize::normalize(expr)?, &[], Vec::new(), dialect)
    }

    /// The plan of a text that is evaluated within frames of these names, innermost first. Its
    /// globals begin with those known.
    pub(crate) fn within(
        source: &str,
        frames: &[&[Box<str>]],
        globals: Vec<Global>,
    ) -> Result<Self> {
        let expr = parser::parse(source)?;
        resolve::resolve(
            normalize::normalize(&expr)?,
            frames,
            globals,
            Dialect::Standard,
        )
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// A sequence of one element stays one.
    pub(crate) keep_array: bool,
    /// An array constructor that is a step of a path.
    pub(crate) constructed: bool,
    /// It, or what is inside, makes functions that remember where they were made.
    pub(crate) closure: bool,
    pub(crate) extras: Option<Box<Extras>>,
}

/// What most nodes do not have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) predicates: Vec<Node>,
    pub(crate) group: Option<Group>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) focus: Option<Binding>,
    pub(crate) index: Option<Binding>,
    /// The parent that a `%` further on asks for is the context of this step.
    pub(crate) ancestor: Option<Ancestor>,
    /// The step gives bindings, not values.
    pub(crate) tuple: bool,
    /// The names that what follows a block of bindings sees.
    pub(crate) bindings: Option<Bindings>,
    /// Parents that steps to the left have to find.
    seeking: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) pairs: Vec<(Node, Node)>,
    pub(crate) position: usize,
}

/// What happens to the values of a step.
#[derive(Debug)]
pub(crate) enum Stage {
    Filter(Node),
    Index(Binding),
}

/// A name that a step binds, and its place among the path's.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: Box<str>,
    pub(crate) slot: usize,
}

#[derive(Debug)]
pub(crate) struct Ancestor {
    id: usize,
    pub(crate) binding: Binding,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    Regex(Box<Matcher>),
    Name(Box<str>),
    Wildcard,
    Descendants,
    /// `%`, as the variable that the step which knows it binds.
    Parent {
        id: usize,
        variable: Variable,
    },
    /// `$`
    Context,
    Variable(Variable),
    Path(Box<Path>),
    Negate(Box<Node>),
    Array(Vec<Node>),
    Object(Box<Group>),
    Binary(Operator, Box<(Node, Node)>),
    Condition(Box<Condition>),
    Elvis(Box<(Node, Node)>),
    Coalesce(Box<(Node, Node)>),
    Block(Box<Block>),
    Bind(Box<(Variable, Node)>),
    Call(Box<Call>),
    Partial(Box<Partial>),
    Apply(Box<(Node, Node)>),
    Lambda(Box<Lambda>),
    Sort(Vec<Term>),
    Transform(Box<Transform>),
}

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Node>,
    pub(crate) keep_singleton: bool,
    /// Nothing but names, after a variable perhaps.
    pub(crate) plain: bool,
    /// Its bindings are wanted by the path around it.
    pub(crate) tuple: bool,
    /// The names its steps bind, and where they are while a step is evaluated.
    pub(crate) bindings: Option<Bindings>,
}

#[derive(Debug)]
pub(crate) struct Bindings {
    /// The first step that binds.
    pub(crate) first: usize,
    pub(crate) names: Vec<Box<str>>,
    /// One slot more than names: the first holds the context.
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) condition: Node,
    pub(crate) then: Node,
    pub(crate) otherwise: Option<Node>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) parts: Vec<Node>,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) procedure: Node,
    pub(crate) arguments: Vec<Node>,
    /// The variable that may be meant where a `$` was left out.
    pub(crate) meant: Option<Variable>,
    /// The function around it ends with this call.
    pub(crate) tail: bool,
}

#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) procedure: Node,
    /// The variable that may be meant where a `$` was left out.
    pub(crate) meant: Option<Variable>,
    pub(crate) arguments: Vec<Option<Node>>,
}

#[derive(Debug)]
pub(crate) struct Lambda {
    pub(crate) parameters: Vec<Box<str>>,
    pub(crate) signature: Option<Signature>,
    pub(crate) body: Node,
    /// The parameters come first.
    pub(crate) scope: Scope,
    pub(crate) stack: usize,
}

#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) descending: bool,
    pub(crate) key: Node,
}

#[derive(Debug)]
pub(crate) struct Transform {
    pub(crate) pattern: Node,
    pub(crate) update: Node,
    pub(crate) delete: Option<Node>,
    /// What `$clone` is where it stands.
    pub(crate) clone: Variable,
    pub(crate) scope: Scope,
    pub(crate) stack: usize,
}

/// Where the names that a part of the expression binds are kept while it is evaluated.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) storage: Storage,
    pub(crate) names: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Storage {
    /// It binds nothing.
    #[default]
    Nowhere,
    /// On the stack, so far above the base: no function made inside can outlive it.
    Stack(usize),
    /// In a frame of its own, which functions may remember.
    Frame,
}

/// A name, and where it may be found: the first place that is bound counts.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: Box<str>,
    pub(crate) places: Vec<Slot>,
    /// Its place among the globals, unless an inner place is always bound.
    pub(crate) global: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// So far above the base of the stack.
    Stack(usize),
    /// In the frame that is so many frames outwards.
    Frame { hops: usize, slot: usize },
}

impl Path {
    fn new(steps: Vec<Node>, keep_singleton: bool) -> Self {
        Self {
            steps,
            keep_singleton,
            plain: false,
            tuple: false,
            bindings: None,
        }
    }

    /// Notes whether the path is plain, now that its steps are known.
    fn note_plain(&mut self) {
        let bare = |step: &Node| step.extras.is_none() && !step.keep_array;
        let first = matches!(
            self.steps.first().map(|step| &step.kind),
            Some(Kind::Name(_) | Kind::Variable(_) | Kind::Context)
        );
        let names = self
            .steps
            .iter()
            .skip(1)
            .all(|step| matches!(step.kind, Kind::Name(_)));
        self.plain = !self.keep_singleton && first && names && self.steps.iter().all(bare);
    }
}

impl Variable {
    fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            places: Vec::new(),
            global: None,
        }
    }
}

impl Node {
    fn new(kind: Kind, place: Place) -> Self {
        Self {
            kind,
            place,
            keep_array: false,
            constructed: false,
            closure: false,
            extras: None,
        }
    }

    fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        self.extras.as_ref().map_or(&[], |extras| &extras.stages)
    }

    pub(crate) fn is_tuple(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.tuple)
    }

    pub(crate) fn position(&self) -> usize {
        self.place.position
    }

    /// Makes an error here. Paths and parents have no place in the reference.
    pub(crate) fn error(&self, code: &'static str) -> Error {
        match self.kind {
            Kind::Path(_) | Kind::Parent { .. } => Error::new(code),
            _ => Error::new(code).at(self.place.position),
        }
    }

    /// What the reference calls a node of this kind.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null | Kind::Bool(_) => "value",
            Kind::Number(_) => "number",
            Kind::Text(_) => "string",
            Kind::Regex(_) => "regex",
            Kind::Name(_) => "name",
            Kind::Wildcard => "wildcard",
            Kind::Descendants => "descendant",
            Kind::Parent { .. } => "parent",
            Kind::Context | Kind::Variable(_) => "variable",
            Kind::Path(_) => "path",
            Kind::Negate(_) | Kind::Array(_) | Kind::Object(_) => "unary",
            Kind::Binary(..) => "binary",
            Kind::Condition(_) | Kind::Elvis(_) | Kind::Coalesce(_) => "condition",
            Kind::Block(_) => "block",
            Kind::Bind(_) => "bind",
            Kind::Call(_) => "function",
            Kind::Partial(_) => "partial",
            Kind::Apply(_) => "apply",
            Kind::Lambda(_) => "lambda",
            Kind::Sort(_) => "sort",
            Kind::Transform(_) => "transform",
        }
    }
}
