//! Map states.

use serde_json::Value;

use super::Parser;
use super::fields::Fields;
use super::state::Context;
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Batcher, Items, Limit, Map, Mode, Reader, ReaderFormat, Writer};

/// The largest number that a bound may have and still be exact.
const MOST: f64 = 9_007_199_254_740_991.0;

impl Parser<'_> {
    pub(super) fn map(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
        name: &str,
    ) -> Option<Map> {
        let query = context.query;
        let start = self.processor(fields, context);
        let items = self.items(fields, query);
        let selector = match query {
            QueryLanguage::JsonPath => {
                fields.exclusive(self, &["ItemSelector", "Parameters"]);
                let legacy = self.template(fields, "Parameters", query);
                self.template(fields, "ItemSelector", query).or(legacy)
            }
            QueryLanguage::Jsonata => self.template(fields, "ItemSelector", query),
        };
        let names = ("MaxConcurrency", "MaxConcurrencyPath");
        let concurrency = self.limit(fields, names, MOST, query);
        let names = ("ToleratedFailureCount", "ToleratedFailureCountPath");
        let tolerated_count = self.limit(fields, names, MOST, query);
        let names = (
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
        );
        let tolerated_percentage = self.limit(fields, names, 100.0, query);
        let label = fields.text(self, "Label");
        if label.is_some_and(|label| label.chars().count() > 40 || label.is_empty()) {
            let message = "the label has more than 40 characters, or none";
            self.error(fields.at("Label"), message, "shorten it");
        }
        let reader = self.reader(fields, query);
        let batcher = self.batcher(fields, query);
        let writer = self.writer(fields, query);
        let (start, mode) = start?;
        Some(Map {
            start,
            mode,
            items,
            selector,
            concurrency,
            reader,
            batcher,
            writer,
            tolerated_count,
            tolerated_percentage,
            label: label.unwrap_or(name).into(),
        })
    }

    fn items(&mut self, fields: &mut Fields<'_>, query: QueryLanguage) -> Items {
        let items = match query {
            QueryLanguage::JsonPath => self.path(fields, "ItemsPath").map(Items::Path),
            QueryLanguage::Jsonata => {
                if let Some(value) = fields.get("Items")
                    && !matches!(value, Value::String(_) | Value::Array(_))
                {
                    let message = "Items is neither a list nor an expression";
                    self.error(fields.at("Items"), message, "write a list or {% … %}");
                }
                self.template(fields, "Items", query).map(Items::Template)
            }
        };
        items.unwrap_or(Items::Input)
    }

    /// `ItemProcessor`, or `Iterator` as it was called before.
    fn processor(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
    ) -> Option<(crate::asl::model::StateIndex, Mode)> {
        fields.required(self, &["ItemProcessor", "Iterator"]);
        fields.exclusive(self, &["ItemProcessor", "Iterator"]);
        let legacy = fields.get("Iterator").map(|value| ("Iterator", value));
        let processor = fields.get("ItemProcessor").map(|v| ("ItemProcessor", v));
        let (name, value) = processor.or(legacy)?;
        let mut inner = Fields::of(self, value, &fields.at(name))?;
        let mut mode = Mode::Inline;
        if let Some(config) = inner.get("ProcessorConfig") {
            let mut config = Fields::of(self, config, &inner.at("ProcessorConfig"))?;
            let modes = [("INLINE", Mode::Inline), ("DISTRIBUTED", Mode::Distributed)];
            mode = config.one_of(self, "Mode", &modes).unwrap_or(Mode::Inline);
            config.one_of(self, "ExecutionType", &[("STANDARD", ()), ("EXPRESS", ())]);
            if mode == Mode::Distributed {
                config.required(self, &["ExecutionType"]);
            }
            config.finish(self);
        }
        let start = self.inner(&mut inner, context.scope);
        inner.finish(self);
        start.map(|start| (start, mode))
    }

    /// What `ItemReader` and `ResultWriter` call their resources with.
    fn inner_arguments(
        &mut self,
        fields: &mut Fields<'_>,
        query: QueryLanguage,
    ) -> Option<crate::asl::template::Template> {
        match query {
            QueryLanguage::JsonPath => self.template(fields, "Parameters", query),
            QueryLanguage::Jsonata => self.template(fields, "Arguments", query),
        }
    }

    fn reader(&mut self, fields: &mut Fields<'_>, query: QueryLanguage) -> Option<Reader> {
        let value = fields.get("ItemReader")?;
        let mut fields = Fields::of(self, value, &fields.at("ItemReader"))?;
        let resource = self.resource(&mut fields);
        let arguments = self.inner_arguments(&mut fields, query);
        let (mut format, mut max_items) = (ReaderFormat::Listing, Limit::None);
        if let Some(value) = fields.get("ReaderConfig") {
            let mut config = Fields::of(self, value, &fields.at("ReaderConfig"))?;
            let names = ("MaxItems", "MaxItemsPath");
            max_items = self.limit(&mut config, names, MOST, query);
            if let Some(found) = self.reader_format(&mut config) {
                format = found;
            }
            config.finish(self);
        }
        fields.finish(self);
        Some(Reader {
            resource: resource?,
            arguments,
            format,
            max_items,
        })
    }

    fn reader_format(&mut self, config: &mut Fields<'_>) -> Option<ReaderFormat> {
        let types = [("JSON", 0), ("JSONL", 1), ("CSV", 2), ("MANIFEST", 3)];
        let of = config.one_of(self, "InputType", &types)?;
        if of == 2 {
            return self.csv(config);
        }
        if of == 3 {
            let message = "manifests of S3 inventories are not read";
            self.error(
                config.at("InputType"),
                message,
                "read the listing, or a JSON or CSV file",
            );
        }
        let pointer = match of {
            0 => config.text(self, "ItemsPointer").unwrap_or_default(),
            _ => "",
        };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            let message = format!("{pointer:?} is no JSON pointer");
            self.error(
                config.at("ItemsPointer"),
                message,
                "write it like /orders/items",
            );
        }
        Some(match of {
            1 => ReaderFormat::JsonLines,
            _ => ReaderFormat::Json {
                pointer: pointer.into(),
            },
        })
    }

    fn csv(&mut self, config: &mut Fields<'_>) -> Option<ReaderFormat> {
        config.required(self, &["CSVHeaderLocation"]);
        let places = [("FIRST_ROW", false), ("GIVEN", true)];
        let given = config.one_of(self, "CSVHeaderLocation", &places);
        let headers = config.list(self, "CSVHeaders");
        let names = headers.map(|list| list.iter().map(|v| v.as_str().map(Into::into)).collect());
        let names: Option<Vec<String>> = names.flatten();
        if given == Some(true) && names.is_none() {
            let message = "the headers are to be given, and are not";
            self.error(config.path(), message, "list their names in \"CSVHeaders\"");
        }
        let delimiters = [
            ("COMMA", b','),
            ("SEMICOLON", b';'),
            ("TAB", b'\t'),
            ("SPACE", b' '),
            ("PIPE", b'|'),
        ];
        let delimiter = config.one_of(self, "CSVDelimiter", &delimiters);
        Some(ReaderFormat::Csv {
            delimiter: delimiter.unwrap_or(b','),
            headers: names.filter(|_| given == Some(true)),
        })
    }

    fn batcher(&mut self, fields: &mut Fields<'_>, query: QueryLanguage) -> Option<Batcher> {
        let value = fields.get("ItemBatcher")?;
        let mut fields = Fields::of(self, value, &fields.at("ItemBatcher"))?;
        let names = ("MaxItemsPerBatch", "MaxItemsPerBatchPath");
        let max_items = self.amount(&mut fields, names, 1..=100_000_000, query);
        let names = ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath");
        let max_bytes = self.amount(&mut fields, names, 1..=262_144, query);
        fields.required(
            self,
            &[
                "MaxItemsPerBatch",
                "MaxInputBytesPerBatch",
                "MaxItemsPerBatchPath",
                "MaxInputBytesPerBatchPath",
            ],
        );
        let input = self.template(&mut fields, "BatchInput", query);
        fields.finish(self);
        Some(Batcher {
            max_items,
            max_bytes,
            input,
        })
    }

    fn writer(&mut self, fields: &mut Fields<'_>, query: QueryLanguage) -> Option<Writer> {
        let value = fields.get("ResultWriter")?;
        let mut fields = Fields::of(self, value, &fields.at("ResultWriter"))?;
        let resource = match fields.has("Resource") {
            true => Some(self.resource(&mut fields)?),
            false => None,
        };
        let arguments = self.inner_arguments(&mut fields, query);
        let (mut lines, mut compact) = (false, false);
        if let Some(value) = fields.get("WriterConfig") {
            let mut config = Fields::of(self, value, &fields.at("WriterConfig"))?;
            let outputs = [("JSON", false), ("JSONL", true)];
            lines = config.one_of(self, "OutputType", &outputs).unwrap_or(false);
            let forms = [("NONE", false), ("COMPACT", true), ("FLATTEN", true)];
            compact = config
                .one_of(self, "Transformation", &forms)
                .unwrap_or(false);
            config.finish(self);
        }
        fields.finish(self);
        Some(Writer {
            resource,
            arguments,
            lines,
            compact,
        })
    }
}
