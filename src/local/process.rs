//! The feature `process`: programs as child processes, by the Lambda Runtime API, framed sockets or
//! HTTP.

use std::sync::Arc;

use faas_core::{ErrorKind, HookName, NodeName, Result, RuntimeName};
use faas_function::Contract;
use faas_process::ProcessNodeBuilder;
use faas_runtimes::{FramedSocket, Http, LambdaRuntime};

use super::{Local, LocalOptions};

const NODE: &str = "process";
/// The runtimes of each contract: of programs that are built already, and of Rust sources.
const LAMBDA: (&str, &str) = ("provided", "rust");
const FRAMED: (&str, &str) = ("framed", "rust-framed");
const HTTP: (&str, &str) = ("http", "rust-http");

pub(super) fn add(local: &mut Local, options: &LocalOptions) -> Result<()> {
    let clock = &options.clock;
    let lambda = LambdaRuntime::new(HookName::new("lambda")?, clock.clone());
    let framed = FramedSocket::new(HookName::new("framed")?, clock.clone());
    let http = Http::on_loopback(HookName::new("http")?, clock.clone());
    let contracts: [(_, Arc<dyn Contract>); 3] = [
        (LAMBDA, Arc::new(lambda)),
        (FRAMED, Arc::new(framed)),
        (HTTP, Arc::new(http)),
    ];
    for ((built, sources), contract) in contracts {
        let sources = RuntimeName::new(sources)?;
        local
            .contracts
            .push((RuntimeName::new(built)?, contract.clone()));
        local.contracts.push((sources.clone(), contract));
        local.cargo.push(sources);
    }
    if options.nodes {
        add_node(local, options)?;
    }
    Ok(())
}

fn add_node(local: &mut Local, options: &LocalOptions) -> Result<()> {
    let (name, code) = (NodeName::new(NODE)?, Arc::new(options.code.clone()));
    let builder = match &options.process_root {
        Some(root) => ProcessNodeBuilder::new(name, root, code),
        None => ProcessNodeBuilder::temporary(name, code)?,
    };
    match builder.clock(options.clock.clone()).build() {
        Ok(node) => local.agents.push(Arc::new(node)),
        Err(error) if error.kind() == ErrorKind::InvalidArgument => {
            local.faults.push(error.message().to_owned());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
