//! The suites of `FunctionInstance` and `Contract` catch an adapter that breaks any one rule: each
//! of these breaks one, and the case of that name fails against it.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod instance;
#[cfg(test)]
mod model;
