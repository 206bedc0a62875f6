//! What a release has written is read for ever: the files beside this test hold what each version
//! of a stored value looked like, and are never edited.

use std::time::Duration;

use faas_core::encoding::{Stored, decode, encode};
use faas_core::store::Version;
use faas_core::{
    Attributes, ByteSize, Caller, Error, FunctionError, FunctionRef, InvocationId, Millicpu, Name,
    Namespace, Resources, Result, RevisionNumber, StartKind, TraceContext, Usage,
};
use serde::{Deserialize, Serialize};

const V1: &[u8] = include_bytes!("golden/stored-v1.json");
const V2: &[u8] = include_bytes!("golden/stored-v2.json");

/// The vocabulary's own types, as stored values hold them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    name: Name,
    function: FunctionRef,
    id: InvocationId,
    revision: RevisionNumber,
    resources: Resources,
    caller: Caller,
    attributes: Attributes,
    usage: Usage,
    failure: Option<FunctionError>,
    start: StartKind,
    version: Version,
    trace: TraceContext,
}

/// What version 1 knew.
#[derive(Debug, Serialize, Deserialize)]
struct GoldenV1 {
    name: Name,
    function: FunctionRef,
    id: InvocationId,
    revision: RevisionNumber,
    memory: ByteSize,
    cpu: Millicpu,
}

impl Stored for Golden {
    const KIND: &'static str = "golden";
    const VERSION: u32 = 2;

    fn upgrade(_: u32, data: &str) -> Result<Self> {
        let old: GoldenV1 = serde_json::from_str(data)
            .map_err(|error| Error::internal("decode stored value", error.to_string()))?;
        Ok(Self {
            name: old.name,
            function: old.function,
            id: old.id,
            revision: old.revision,
            resources: Resources::new(old.cpu, old.memory),
            caller: Caller::default(),
            attributes: Attributes::new(),
            usage: Usage::default(),
            failure: None,
            start: StartKind::Warm,
            version: Version(0),
            trace: TraceContext::default(),
        })
    }
}

fn golden() -> Result<Golden> {
    let mut resources = Resources::new(Millicpu(250), ByteSize::mib(1));
    resources.extended.insert(Name::new("gpu")?, 1);
    let panic = FunctionError::new(FunctionError::PANIC, "index out of bounds");
    Ok(Golden {
        name: Name::new("word-count")?,
        function: "shop/checkout@prod".parse()?,
        id: InvocationId::from_u128(42),
        revision: RevisionNumber(7),
        resources,
        caller: Caller::of(Namespace::new("web")?).with_identity("alice"),
        attributes: [("accept", "text/plain")].into_iter().collect(),
        usage: Usage {
            duration: Duration::from_millis(1500),
            peak_memory: Some(ByteSize::kib(4)),
            ..Usage::default()
        },
        failure: Some(panic),
        start: StartKind::Cold,
        version: Version(3),
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?,
    })
}

#[test]
fn the_present_version_is_written_as_its_file_says() -> Result<()> {
    let written = encode(&golden()?)?;
    let file = String::from_utf8_lossy(V2);
    assert_eq!(String::from_utf8_lossy(&written), file.trim_end());
    assert_eq!(decode::<Golden>(V2)?, golden()?);
    Ok(())
}

#[test]
fn the_first_version_is_read_still() -> Result<()> {
    let (read, now): (Golden, Golden) = (decode(V1)?, golden()?);
    assert_eq!((read.name, read.function), (now.name, now.function));
    let resources = Resources::new(Millicpu(250), ByteSize::mib(1));
    assert_eq!(read.resources, resources);
    assert_eq!(read.caller, Caller::default());
    Ok(())
}
