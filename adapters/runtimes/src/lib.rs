#![doc = include_str!("../README.md")]

pub mod framed;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod in_process;
pub mod lambda;
mod lifecycle;
mod limit;
mod sandbox_end;

pub use self::http::Http;
pub use framed::FramedSocket;
pub use in_process::InProcess;
pub use lambda::LambdaRuntime;
