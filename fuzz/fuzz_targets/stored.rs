//! `encoding::decode`: broken bytes are an error, and what is read is written back to the same.
#![no_main]

use faas_core::encoding::{Stored, decode, encode};
use faas_core::{Attributes, Caller, FunctionRef, Name, Resources};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Thing {
    name: Name,
    function: Option<FunctionRef>,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    caller: Caller,
    #[serde(default)]
    attributes: Attributes,
}

impl Stored for Thing {
    const KIND: &'static str = "thing";
    const VERSION: u32 = 2;
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(thing) = decode::<Thing>(bytes) {
        let written = encode(&thing).expect("it has a form in JSON");
        assert_eq!(decode::<Thing>(&written).ok(), Some(thing));
    }
});
