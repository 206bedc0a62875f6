//! One [`Error`] for all layers: what was attempted, on what, why it failed, and whether trying
//! again is safe.
//!
//! The shape follows OpenDAL's: a kind to match on, a retry status to act on, an operation and a
//! message to read, and a source to dig into. It is one word wide and cheaply cloned, because one
//! failure often answers many waiters.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The result of everything that can fail in these crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is: for code that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing named does not exist.
    NotFound,
    /// The thing to create exists already.
    AlreadyExists,
    /// A precondition did not hold: somebody else was faster.
    Conflict,
    /// The request is wrong as it stands; the message names every fault.
    InvalidArgument,
    /// A bound (queue, quota, capacity) is reached; [`Error::retry_after`] may say when to return.
    Exhausted,
    /// Something that is needed is not there now.
    Unavailable,
    /// The deadline passed first.
    DeadlineExceeded,
    /// The work was cancelled.
    Cancelled,
    /// The caller is known and may not do this.
    PermissionDenied,
    /// The caller is not known.
    Unauthenticated,
    /// This implementation cannot do that, and says so instead of pretending.
    Unsupported,
    /// The changes asked for have been compacted away: list again, then watch from there.
    Compacted,
    /// A defect, or a failure that fits no other kind.
    Internal,
}

/// Whether the failed operation may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again cannot help.
    Never,
    /// Nothing happened: trying again is safe.
    Safe,
    /// It may have happened: try again only what is idempotent.
    Ambiguous,
}

/// A failure of the platform (a failing user function is a
/// [`FunctionError`](crate::FunctionError) instead).
///
/// ```
/// use faas_core::{Error, ErrorKind, Retry};
///
/// let error = Error::unavailable("invoke", "instance 7 closed its socket")
///     .with_retry(Retry::Ambiguous);
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "invoke: instance 7 closed its socket (unavailable; it may have happened)");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: Cow<'static, str>,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident, $retry:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(
            operation: impl Into<Cow<'static, str>>,
            message: impl Into<Cow<'static, str>>,
        ) -> Self {
            Self::new(ErrorKind::$kind, Retry::$retry, operation, message)
        }
    )*};
}

impl Error {
    /// An error of any kind; the named constructors choose the usual retry status.
    pub fn new(
        kind: ErrorKind,
        retry: Retry,
        operation: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            retry,
            operation: operation.into(),
            message: message.into(),
            retry_after: None,
            source: None,
        }))
    }

    constructors! {
        /// [`ErrorKind::NotFound`], never worth a retry.
        not_found => NotFound, Never;
        /// [`ErrorKind::AlreadyExists`], never worth a retry.
        already_exists => AlreadyExists, Never;
        /// [`ErrorKind::Conflict`]: read again, then retry.
        conflict => Conflict, Safe;
        /// [`ErrorKind::InvalidArgument`], never worth a retry.
        invalid => InvalidArgument, Never;
        /// [`ErrorKind::Exhausted`], safe to retry later.
        exhausted => Exhausted, Safe;
        /// [`ErrorKind::Unavailable`], safe to retry.
        unavailable => Unavailable, Safe;
        /// [`ErrorKind::DeadlineExceeded`]; it may have happened.
        deadline_exceeded => DeadlineExceeded, Ambiguous;
        /// [`ErrorKind::Cancelled`]; it may have happened.
        cancelled => Cancelled, Ambiguous;
        /// [`ErrorKind::PermissionDenied`], never worth a retry.
        permission_denied => PermissionDenied, Never;
        /// [`ErrorKind::Unauthenticated`], never worth a retry.
        unauthenticated => Unauthenticated, Never;
        /// [`ErrorKind::Unsupported`], never worth a retry.
        unsupported => Unsupported, Never;
        /// [`ErrorKind::Compacted`]: list again, then watch from there.
        compacted => Compacted, Never;
        /// [`ErrorKind::Internal`], never worth a retry.
        internal => Internal, Never;
    }

    /// All faults of a request as one [`ErrorKind::InvalidArgument`], or `Ok` if there are none.
    ///
    /// # Errors
    /// When `faults` is not empty; the message lists each of them.
    pub fn check(operation: &'static str, faults: Vec<String>) -> Result<()> {
        match faults.as_slice() {
            [] => Ok(()),
            [one] => Err(Self::invalid(operation, one.clone())),
            many => Err(Self::invalid(
                operation,
                format!("{} faults: {}", many.len(), many.join("; ")),
            )),
        }
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Replaces the retry status.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        self.edit(|inner| inner.retry = retry)
    }

    /// Says when a retry may succeed.
    #[must_use]
    pub fn with_retry_after(self, after: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(after))
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        self.edit(|inner| inner.source = Some(Arc::from(source)))
    }

    /// Names the operation as the caller of a lower layer knows it.
    #[must_use]
    pub fn with_operation(self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.edit(|inner| inner.operation = operation.into())
    }

    /// The kind, for code that decides.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again is safe.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// What was attempted.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// On what, and why it failed.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// When a retry may succeed, if anybody knows.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

/// Input quoted for a message, cut where it grows beyond what a reader would read: input comes
/// from outside, and its length must not become ours.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::InvalidArgument => "invalid argument",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::Cancelled => "cancelled",
            Self::PermissionDenied => "permission denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Unsupported => "unsupported",
            Self::Compacted => "compacted",
            Self::Internal => "internal",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            message,
            ..
        } = &*self.0;
        write!(f, "{operation}: {message} ({kind}; ")?;
        match (self.0.retry, self.0.retry_after) {
            (Retry::Never, _) => f.write_str("retrying cannot help)"),
            (Retry::Safe, Some(after)) => write!(f, "retry is safe after {after:?})"),
            (Retry::Safe, None) => f.write_str("retry is safe)"),
            (Retry::Ambiguous, _) => f.write_str("it may have happened)"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What a panic said, for whoever reports one that was caught.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_word() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn check_reports_every_fault() {
        let error = Error::check("deploy", vec!["no name".into(), "no code".into()]).unwrap_err();
        assert_eq!(error.message(), "2 faults: no name; no code");
        assert!(Error::check("deploy", vec![]).is_ok());
    }

    #[test]
    fn long_input_is_cut_in_messages() {
        assert_eq!(quoted("a\n"), r#""a\n""#);
        let long = quoted(&"ä".repeat(1_000_000));
        assert!(
            long.len() < 200 && long.ends_with("(2000000 bytes)"),
            "{long}"
        );
    }

    #[test]
    fn editing_a_clone_leaves_the_original() {
        let first = Error::exhausted("invoke", "full");
        let second = first.clone().with_retry_after(Duration::from_secs(1));
        assert_eq!(first.retry_after(), None);
        assert_eq!(second.retry_after(), Some(Duration::from_secs(1)));
    }
}
