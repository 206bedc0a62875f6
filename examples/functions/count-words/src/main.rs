//! Counts the words of a text file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lambda_runtime::{Error, LambdaEvent, service_fn};

type Counts = BTreeMap<String, u64>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(count_words)).await
}

async fn count_words(event: LambdaEvent<PathBuf>) -> Result<Counts, Error> {
    let text = std::fs::read_to_string(&event.payload)
        .map_err(|error| format!("{}: {error}", event.payload.display()))?;
    let mut counts = Counts::new();
    let words = text.split(|letter: char| !letter.is_alphabetic());
    for word in words.filter(|word| word.len() > 3) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}
