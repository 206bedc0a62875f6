//! The conformance suites of contracts, their hooks and their instances, on each contract of this
//! crate.

#[cfg(test)]
mod common;
#[cfg(test)]
mod framed;
#[cfg(test)]
mod http;
#[cfg(test)]
mod in_process;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod lambda_guest;
