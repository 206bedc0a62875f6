#![doc = include_str!("../README.md")]

mod ast;
mod budget;
mod context;
mod dialect;
mod error;
mod eval;
mod explain;
mod expression;
mod function;
mod lexer;
mod limits;
mod parser;
mod picture;
mod plan;
mod printer;
mod random;
mod regex;
mod signature;
mod stack;
#[cfg(feature = "states-language")]
mod states_language;
mod value;

pub use context::Context;
pub use dialect::Dialect;
pub use error::{Error, ErrorKind};
pub use explain::{Explanation, Step};
pub use expression::Expression;
pub use limits::Limits;
#[cfg(feature = "states-language")]
pub use states_language::StatesExpressions;
