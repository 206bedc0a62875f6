//! [`Reason`]: a sentence with holes, and what fills them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// What fills a hole of a [`Reason`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// A count.
    Count(u64),
    /// A fraction.
    Ratio(f64),
    /// A span of time.
    Time(Duration),
    /// An id of any type, by its number.
    Id(u128),
    /// A name.
    Text(Arc<str>),
}

macro_rules! values {
    ($($from:ty => $variant:ident($value:ident) $make:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                Self::$variant($make)
            }
        }
    )*};
}
values! {
    u64 => Count(n) n;
    u32 => Count(n) n.into();
    usize => Count(n) n as u64;
    f64 => Ratio(x) x;
    Duration => Time(t) t;
    u128 => Id(id) id;
    Arc<str> => Text(text) text;
    &str => Text(text) text.into();
    String => Text(text) text.into();
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => n.fmt(f),
            Self::Ratio(x) => write!(f, "{x:.2}"),
            Self::Time(t) => write!(f, "{t:.1?}"),
            Self::Id(id) => write!(f, "{id:032x}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Why something was decided: data, rendered as text when it is read.
///
/// ```
/// use faas_core::explain::Reason;
///
/// const NO_SLOT: Reason = Reason::new("queue.no_slot", "all {instances} instances are busy");
/// let reason = NO_SLOT.with("instances", 3u64);
/// assert_eq!(reason.to_string(), "all 3 instances are busy");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// What programs match on; never changes.
    pub code: &'static str,
    /// The sentence, with `{name}` where a field goes.
    pub template: &'static str,
    /// What would help, if anybody could do something.
    pub help: Option<&'static str>,
    /// What fills the holes.
    pub fields: Vec<(&'static str, Value)>,
}

impl Reason {
    /// A reason without fields; make it a constant.
    pub const fn new(code: &'static str, template: &'static str) -> Self {
        Self {
            code,
            template,
            help: None,
            fields: Vec::new(),
        }
    }

    /// Adds what would help.
    #[must_use]
    pub const fn helped_by(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }

    /// Fills a hole.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.template;
        while let Some((before, after)) = rest.split_once('{') {
            f.write_str(before)?;
            let Some((name, tail)) = after.split_once('}') else {
                return write!(f, "{{{after}");
            };
            match self.fields.iter().find(|(field, _)| *field == name) {
                Some((_, value)) => value.fmt(f)?,
                None => write!(f, "{{{name}}}")?,
            }
            rest = tail;
        }
        f.write_str(rest)
    }
}
