//! The contracts, driven as a router drives them.

#[cfg(test)]
mod common;
#[cfg(test)]
mod framed;
#[cfg(test)]
mod in_process;
#[cfg(test)]
mod inline;
#[cfg(test)]
mod lambda;
