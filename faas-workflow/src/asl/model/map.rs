//! Map states, compiled.

use super::{Amount, Resource, StateIndex};
use crate::asl::path::Path;
use crate::asl::template::{Place, Template};

#[derive(Debug)]
pub(in crate::asl) struct Map {
    /// The first state of the processor.
    pub(in crate::asl) start: StateIndex,
    pub(in crate::asl) mode: Mode,
    pub(in crate::asl) items: Items,
    pub(in crate::asl) selector: Option<Template>,
    pub(in crate::asl) concurrency: Limit,
    pub(in crate::asl) reader: Option<Reader>,
    pub(in crate::asl) batcher: Option<Batcher>,
    pub(in crate::asl) writer: Option<Writer>,
    pub(in crate::asl) tolerated_count: Limit,
    pub(in crate::asl) tolerated_percentage: Limit,
    /// What names its runs.
    pub(in crate::asl) label: String,
}

/// Where iterations run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::asl) enum Mode {
    /// In the execution's own history.
    Inline,
    /// Each in a history of its own.
    Distributed,
}

/// What a Map goes over.
#[derive(Debug)]
pub(in crate::asl) enum Items {
    /// The state's input.
    Input,
    Path(Path),
    /// `Items`, of JSONata.
    Template(Template),
}

/// A bound that may be given by number, by path or by expression, or not at all.
#[derive(Debug, Default)]
pub(in crate::asl) enum Limit {
    #[default]
    None,
    Literal(f64),
    Computed(Place),
}

#[derive(Debug)]
pub(in crate::asl) struct Reader {
    pub(in crate::asl) resource: Resource,
    pub(in crate::asl) arguments: Option<Template>,
    pub(in crate::asl) format: ReaderFormat,
    pub(in crate::asl) max_items: Limit,
}

/// What the text that a reader reads is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::asl) enum ReaderFormat {
    /// The answer is a listing of objects.
    Listing,
    Json {
        /// Where the items are within the text (RFC 6901).
        pointer: String,
    },
    JsonLines,
    Csv {
        delimiter: u8,
        /// `None`: the first row has them.
        headers: Option<Vec<String>>,
    },
}

#[derive(Debug)]
pub(in crate::asl) struct Batcher {
    pub(in crate::asl) max_items: Option<Amount>,
    pub(in crate::asl) max_bytes: Option<Amount>,
    pub(in crate::asl) input: Option<Template>,
}

#[derive(Debug)]
pub(in crate::asl) struct Writer {
    /// Where to; nowhere if only the form of the results is changed.
    pub(in crate::asl) resource: Option<Resource>,
    pub(in crate::asl) arguments: Option<Template>,
    pub(in crate::asl) lines: bool,
    /// Whether only the outputs are written, without what AWS says of each execution.
    pub(in crate::asl) compact: bool,
}
