//! A function as a program of its own: it runs in a sandbox of `FramedSocket`, on a process node or
//! in a container. Started elsewhere, it says that it is in the wrong place.

use faas_core::{Clock, ContentType, FunctionError, HandlerCall, HandlerReply, Payload};
use faas_runtimes::framed::guest;
use futures::StreamExt;

/// Greets whom it is told to; streams the letters of the greeting if it is asked for a stream.
async fn greet(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
    // Input that is no JSON text is the caller's fault: `?` makes it `Function.Input`.
    let name: String = call.payload.to_json()?;
    if name.is_empty() {
        // Callers and workflows match on the name of an error.
        return Err(FunctionError::new("Greeting.Nobody", "there is no name"));
    }
    if let Some(deadline) = call.deadline {
        // Standard error is the sandbox's log.
        let left = deadline.since(guest::clock().now());
        eprintln!("greeting {name}, with {left:?} left");
    }
    let greeting = format!("Hello, {name}!");
    if call.attributes.get("accept") == Some("text/event-stream") {
        let letters: Vec<_> = greeting.chars().map(|c| Ok(c.to_string().into())).collect();
        let letters = futures::stream::iter(letters).boxed();
        return Ok(HandlerReply::Stream(ContentType::TEXT, letters));
    }
    Ok(Payload::json(&greeting)?.into())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    guest::run(greet).await
}
