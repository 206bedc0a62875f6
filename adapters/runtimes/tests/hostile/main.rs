//! Guests that break the protocol: what they do is classified, costs them their instance where it
//! must, disturbs nobody else, and leaves nothing.

#[cfg(test)]
mod common;
#[cfg(test)]
mod framed;
#[cfg(test)]
mod http;
#[cfg(test)]
mod lambda;
