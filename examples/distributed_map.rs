//! A distributed Map over 10,000 rows of a CSV file in an object store: in batches of 100, a child
//! execution each, 40 at once; the results are written back as objects.
//!
//! Run it with `cargo run --release --example distributed_map`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::core::Clock;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const ROWS: u64 = 10_000;

fn invoices() -> Value {
    json!({
        "StartAt": "Each batch",
        "States": { "Each batch": {
            "Type": "Map",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": { "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW" },
                "Parameters": { "Bucket": "shop", "Key": "invoices.csv" },
            },
            "ItemBatcher": { "MaxItemsPerBatch": 100 },
            "MaxConcurrency": 40,
            "ToleratedFailurePercentage": 1,
            "ItemProcessor": {
                "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
                "StartAt": "Total",
                "States": { "Total": {
                    "Type": "Task", "Resource": "arn:aws:lambda:::function:total", "End": true,
                } },
            },
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "Parameters": { "Bucket": "shop", "Prefix": "totals" },
            },
            "ResultSelector": { "manifest.$": "$.ResultWriterDetails.Key" },
            "OutputPath": "$.manifest",
            "End": true,
        } },
    })
}

/// The sum of a batch's amounts.
async fn total(batch: Value) -> Result<u64, faas::core::FunctionError> {
    let rows = batch["Items"].as_array().into_iter().flatten();
    let amounts = rows.filter_map(|row| row["amount"].as_str()?.parse::<u64>().ok());
    Ok(amounts.sum())
}

async fn read(objects: &InMemory, key: &Value) -> Outcome<Value> {
    let path = Path::from(format!("shop/{}", key.as_str().unwrap_or_default()));
    let bytes = objects.get(&path).await?.bytes().await?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[tokio::main]
async fn main() -> Outcome {
    let objects = Arc::new(InMemory::new());
    let mut csv = String::from("number,amount\n");
    for number in 1..=ROWS {
        writeln!(csv, "{number},{}", number % 97)?;
    }
    objects
        .put(&Path::from("shop/invoices.csv"), csv.into())
        .await?;

    let shared: Arc<dyn ObjectStore> = objects.clone();
    let platform = Platform::builder().objects(shared).build().await?;
    platform.deploy_json("total", total).await?;
    platform
        .register_state_machine("invoices", &invoices().to_string())
        .await?;

    let clock = faas::core::TokioClock::new();
    let begun = clock.now();
    let key: Value = platform
        .execute("invoices", "this-month", &json!({}))
        .await?;
    println!("{ROWS} rows in {:?}", clock.now().since(begun));

    let manifest = read(&objects, &key).await?;
    let results = read(&objects, &manifest["ResultFiles"]["SUCCEEDED"][0]["Key"]).await?;
    let results = results.as_array().ok_or("no results")?;
    let outputs = results
        .iter()
        .filter_map(|result| result["Output"].as_str()?.parse::<u64>().ok());
    let (sum, wanted): (u64, u64) = (outputs.sum(), (1..=ROWS).map(|number| number % 97).sum());
    println!("{} batches, total {sum}", results.len());
    platform.shutdown(Duration::from_secs(5)).await?;
    match sum == wanted {
        true => Ok(()),
        false => Err(format!("the total should be {wanted}").into()),
    }
}
