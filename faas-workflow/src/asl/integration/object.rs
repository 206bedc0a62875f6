//! `s3:getObject`, `s3:putObject`, `s3:listObjectsV2`, over any object store.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::{bad_argument, text};
use crate::engine::ResourceAnswer;
use crate::program::TaskError;

const SERVICE: &str = "S3";
/// Bytes of an object; what reads it has a bound of its own, which may be lower.
const BYTES: u64 = 64 << 20;
/// Objects of a listing; one more than a Map may have items by default.
const LISTED: usize = 100_001;

pub(super) async fn call(
    objects: &dyn ObjectStore,
    action: &str,
    arguments: &Value,
) -> Result<ResourceAnswer, TaskError> {
    let output = match action {
        "getObject" => get(objects, arguments).await?,
        "putObject" => put(objects, arguments).await?,
        _ => list(objects, arguments).await?,
    };
    Ok(ResourceAnswer::Output(output.into()))
}

fn argument<'a>(arguments: &'a Value, name: &str) -> Result<&'a str, TaskError> {
    let given = text(arguments, name).filter(|text| !text.is_empty());
    given.ok_or_else(|| {
        let message = format!("the argument {name:?} is missing, empty, or no text");
        bad_argument(SERVICE, message)
    })
}

fn path(text: &str) -> Result<Path, TaskError> {
    Path::parse(text).map_err(|error| bad_argument(SERVICE, error.to_string()))
}

fn place(arguments: &Value) -> Result<Path, TaskError> {
    let (bucket, key) = (argument(arguments, "Bucket")?, argument(arguments, "Key")?);
    path(&format!("{bucket}/{key}"))
}

fn failed(error: object_store::Error) -> TaskError {
    let kind = match &error {
        object_store::Error::NotFound { .. } => "NoSuchKeyException",
        object_store::Error::PermissionDenied { .. } => "AccessDeniedException",
        _ => "S3Exception",
    };
    TaskError::new(format!("{SERVICE}.{kind}"), error.to_string())
}

async fn get(objects: &dyn ObjectStore, arguments: &Value) -> Result<Value, TaskError> {
    let place = place(arguments)?;
    let object = objects.get(&place).await.map_err(failed)?;
    let size = object.meta.size;
    if size > BYTES {
        let message = format!("{place} has {size} bytes; {BYTES} can be read");
        return Err(bad_argument(SERVICE, message));
    }
    let tag = object.meta.e_tag.clone();
    let bytes = object.bytes().await.map_err(failed)?;
    let body = String::from_utf8(bytes.into())
        .map_err(|_| bad_argument(SERVICE, format!("{place} is no text in UTF-8")))?;
    Ok(json!({ "Body": body, "ContentLength": size, "ETag": tag }))
}

async fn put(objects: &dyn ObjectStore, arguments: &Value) -> Result<Value, TaskError> {
    let body = match arguments.get("Body") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(value) => value.to_string(),
    };
    let place = place(arguments)?;
    let put = objects.put(&place, PutPayload::from(body)).await;
    Ok(json!({ "ETag": put.map_err(failed)?.e_tag }))
}

async fn list(objects: &dyn ObjectStore, arguments: &Value) -> Result<Value, TaskError> {
    let bucket = argument(arguments, "Bucket")?;
    let prefix = text(arguments, "Prefix").unwrap_or_default();
    // A store lists by whole parts of paths, S3 by any beginning of a key.
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let root = path(&format!("{bucket}/{folder}"))?;
    let start = format!("{bucket}/");
    let mut found: Vec<(String, ObjectMeta)> = Vec::new();
    let mut listing = objects.list(Some(&root));
    while let Some(meta) = listing.try_next().await.map_err(failed)? {
        let key = meta.location.as_ref().strip_prefix(&start);
        let Some(key) = key.filter(|key| key.starts_with(prefix)) else {
            continue;
        };
        found.push((key.to_owned(), meta));
        if found.len() == LISTED {
            break;
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let contents = found.into_iter().map(|(key, meta)| {
        json!({
            "Etag": meta.e_tag,
            "Key": key,
            "LastModified": meta.last_modified.to_rfc3339(),
            "Size": meta.size,
            "StorageClass": "STANDARD",
        })
    });
    Ok(json!({ "Contents": contents.collect::<Vec<_>>() }))
}
