//! Which functions there are, and what they take.

use faas_core::policy::SeededRandom;
use serde_json::Value;

use super::{Argument, data, format, list};

macro_rules! functions {
    ($($name:ident, $text:literal, $least:literal, $most:expr;)*) => {
        /// An intrinsic function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::asl) enum Function {
            $($name,)*
        }

        /// Each with its name, and how many arguments it takes.
        const ALL: &[(Function, &str, usize, usize)] = &[
            $((Function::$name, $text, $least, $most),)*
        ];
    };
}

functions! {
    Format, "States.Format", 1, usize::MAX;
    StringToJson, "States.StringToJson", 1, 1;
    JsonToString, "States.JsonToString", 1, 1;
    Array, "States.Array", 0, usize::MAX;
    ArrayPartition, "States.ArrayPartition", 2, 2;
    ArrayContains, "States.ArrayContains", 2, 2;
    ArrayRange, "States.ArrayRange", 3, 3;
    ArrayGetItem, "States.ArrayGetItem", 2, 2;
    ArrayLength, "States.ArrayLength", 1, 1;
    ArrayUnique, "States.ArrayUnique", 1, 1;
    Base64Encode, "States.Base64Encode", 1, 1;
    Base64Decode, "States.Base64Decode", 1, 1;
    Hash, "States.Hash", 2, 2;
    JsonMerge, "States.JsonMerge", 3, 3;
    MathRandom, "States.MathRandom", 2, 3;
    MathAdd, "States.MathAdd", 2, 2;
    StringSplit, "States.StringSplit", 2, 2;
    Uuid, "States.UUID", 0, 0;
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|(_, known, ..)| *known == name);
        found.map(|(function, ..)| *function)
    }

    pub(super) fn names() -> String {
        let names: Vec<_> = ALL.iter().map(|(_, name, ..)| *name).collect();
        names.join(", ")
    }

    /// As a definition writes it.
    pub(in crate::asl) fn name(self) -> &'static str {
        let found = ALL.iter().find(|(function, ..)| *function == self);
        found.map_or("States", |(_, name, ..)| name)
    }

    /// What is wrong with the arguments, as far as that can be told without data.
    pub(super) fn check(self, arguments: &[Argument]) -> Result<(), String> {
        let range = ALL.iter().find(|(function, ..)| *function == self);
        let (least, most) = range.map_or((0, usize::MAX), |(_, _, least, most)| (*least, *most));
        let count = arguments.len();
        if !(least..=most).contains(&count) {
            let wanted = match (least, most) {
                (least, usize::MAX) => format!("at least {least}"),
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            let name = self.name();
            return Err(format!(
                "{name} takes {wanted} arguments, and is given {count}"
            ));
        }
        match (self, arguments.first()) {
            (Self::Format, Some(Argument::Text(template))) => {
                let wanted = format::placeholders(template);
                if wanted != count - 1 {
                    let given = count - 1;
                    return Err(format!(
                        "the template has {wanted} of \"{{}}\", and {given} arguments follow it"
                    ));
                }
                Ok(())
            }
            (Self::Format, Some(Argument::Literal(_))) => {
                Err("the first argument of States.Format is a text".into())
            }
            _ => Ok(()),
        }
    }

    /// Calls it; `Format` gets its template with its escapes.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(in crate::asl) fn call(
        self,
        arguments: Vec<Value>,
        random: &mut SeededRandom,
    ) -> Result<Value, String> {
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().unwrap_or_default();
        match self {
            Self::Array => Ok(arguments.collect()),
            Self::Format => {
                let template = next();
                let template = text(&template)?;
                format::format(template, &arguments.collect::<Vec<_>>())
            }
            Self::StringToJson => data::string_to_json(text(&next())?),
            Self::JsonToString => Ok(next().to_string().into()),
            Self::ArrayPartition => list::partition(next(), &next()),
            Self::ArrayContains => list::contains(&next(), &next()),
            Self::ArrayRange => list::range(&next(), &next(), &next()),
            Self::ArrayGetItem => list::get_item(next(), &next()),
            Self::ArrayLength => list::length(&next()),
            Self::ArrayUnique => list::unique(next()),
            Self::Base64Encode => data::base64_encode(text(&next())?),
            Self::Base64Decode => data::base64_decode(text(&next())?),
            Self::Hash => data::hash(&next(), text(&next())?),
            Self::JsonMerge => data::json_merge(next(), next(), &next()),
            Self::MathRandom => data::math_random(&next(), &next(), arguments.next(), random),
            Self::MathAdd => data::math_add(&next(), &next()),
            Self::StringSplit => list::string_split(text(&next())?, text(&next())?),
            Self::Uuid => Ok(data::uuid(random).into()),
        }
    }
}

/// The text that an argument must be.
fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("expected a text, was given {}", kind(value)))
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
