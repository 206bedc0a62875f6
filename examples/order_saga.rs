//! An order as a saga: stock, payment, parcel; what was done is undone, in reverse, when a later
//! step fails. One order ships, another does not.
//!
//! Run it with `cargo run --example order_saga`.

use std::time::Duration;

use faas::core::FunctionError;
use faas::{CallError, Platform};
use serde_json::{Value, json};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A step that calls a function; if that fails for good, the step `undo` is next.
fn step(function: &str, next: Option<&str>, undo: &str) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": format!("arn:aws:lambda:::function:{function}"),
        "ResultPath": format!("$.{function}"),
        "Retry": [{ "ErrorEquals": ["Lambda.ServiceException"], "MaxAttempts": 3 }],
        "Catch": [{ "ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": undo }],
    });
    match next {
        Some(next) => state["Next"] = json!(next),
        None => state["End"] = json!(true),
    }
    state
}

/// A step that undoes another; it is tried until it succeeds.
fn undo(function: &str, next: &str) -> Value {
    json!({
        "Type": "Task",
        "Resource": format!("arn:aws:lambda:::function:{function}"),
        "ResultPath": null,
        "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 99, "MaxDelaySeconds": 60 }],
        "Next": next,
    })
}

fn saga() -> Value {
    json!({
        "Comment": "Reserves, charges and ships; or undoes what it did",
        "StartAt": "Reserve stock",
        "States": {
            "Reserve stock": step("reserve", Some("Charge card"), "Refused"),
            "Charge card": step("charge", Some("Ship parcel"), "Release stock"),
            "Ship parcel": step("ship", None, "Refund card"),
            "Refund card": undo("refund", "Release stock"),
            "Release stock": undo("release", "Refused"),
            "Refused": { "Type": "Fail", "ErrorPath": "$.failure.Error", "CausePath": "$.failure.Cause" },
        },
    })
}

/// A function that says what it does; it refuses orders that name it.
async fn deploy(platform: &Platform, name: &'static str) -> Outcome {
    let function = move |order: Value| async move {
        println!("  {name} {}", order["id"]);
        match order["refused_by"] == name {
            true => Err(FunctionError::new("Refused", format!("{name} says no"))),
            false => Ok(json!({ "by": name })),
        }
    };
    platform.deploy_json(name, function).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let platform = Platform::builder().build().await?;
    for name in ["reserve", "charge", "ship", "refund", "release"] {
        deploy(&platform, name).await?;
    }
    platform
        .register_state_machine("order", &saga().to_string())
        .await?;
    for order in [
        json!({ "id": "A1" }),
        json!({ "id": "B2", "refused_by": "ship" }),
    ] {
        let name = order["id"].as_str().unwrap_or_default();
        println!("order {name}");
        match platform.execute::<_, Value>("order", name, &order).await {
            Ok(done) => println!("  shipped: {}", done["ship"]),
            Err(CallError::Workflow { ending, .. }) => println!("  undone: {ending:?}"),
            Err(error) => return Err(error.into()),
        }
    }
    platform.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
