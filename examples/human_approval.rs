//! An expense that a person must approve: the workflow mails a link with a task token and waits, for
//! a week at most, however often the platform restarts meanwhile; whoever has the token answers.
//!
//! Run it with `cargo run --example human_approval`, and answer `y` or `n`.

use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::time::Duration;

use faas::Platform;
use faas::workflow::WorkflowEngine;
use faas::workflow::program::{Data, TaskToken};
use serde_json::{Value, json};
use tokio::sync::mpsc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn expense() -> Value {
    json!({
        "StartAt": "Small?",
        "States": {
            "Small?": {
                "Type": "Choice",
                "Choices": [{ "Variable": "$.amount", "NumericLessThan": 100, "Next": "Paid" }],
                "Default": "Ask a person",
            },
            "Ask a person": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
                "Parameters": {
                    "FunctionName": "mail",
                    "Payload": { "token.$": "$$.Task.Token", "amount.$": "$.amount" },
                },
                "TimeoutSeconds": 604_800,
                "ResultPath": "$.answer",
                "Next": "Approved?",
            },
            "Approved?": {
                "Type": "Choice",
                "Choices": [{ "Variable": "$.answer.approved", "BooleanEquals": true, "Next": "Paid" }],
                "Default": "Declined",
            },
            "Paid": { "Type": "Pass", "Result": "paid", "End": true },
            "Declined": { "Type": "Pass", "Result": "declined", "End": true },
        },
    })
}

/// What the person answers whom the mail asks: a line of this terminal; yes, if there is none.
fn answer(amount: &Value) -> bool {
    println!("An expense of {amount}: is it approved? [y/n]");
    let mut line = String::new();
    match stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => true,
        Ok(_) => line.trim().eq_ignore_ascii_case("y"),
    }
}

#[tokio::main]
async fn main() -> Outcome {
    let platform = Platform::builder().build().await?;
    let (letters, mut inbox) = mpsc::unbounded_channel::<Value>();
    let letters = Arc::new(letters);
    let mail = move |letter: Value| {
        let letters = letters.clone();
        async move { Ok(letters.send(letter).is_ok()) }
    };
    platform.deploy_json("mail", mail).await?;
    platform
        .register_state_machine("expense", &expense().to_string())
        .await?;

    let small: String = platform
        .execute("expense", "lunch", &json!({ "amount": 12 }))
        .await?;
    println!("lunch: {small}");

    let started = platform
        .start_execution("expense", "laptop", &json!({ "amount": 1800 }))
        .await?;
    let letter = inbox.recv().await.ok_or("the mail is gone")?;
    let approved =
        tokio::task::spawn_blocking(move || (letter["token"].clone(), answer(&letter["amount"])));
    let (token, approved) = approved.await?;
    let token: TaskToken = token.as_str().unwrap_or_default().parse()?;
    let engine = platform.workflows().engine();
    let tasks = engine
        .external_tasks()
        .ok_or("this engine has no tasks that others end")?;
    let said: Data = json!({ "approved": approved }).into();
    tasks.complete(&token, Ok(said)).await?;
    let ended = engine.wait(started.id).await?;
    println!("laptop: {:?}", ended.ending);
    platform.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
