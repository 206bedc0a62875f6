//! What a function on AWS Lambda finds in its environment.

use std::collections::{BTreeMap, BTreeSet};

use faas_function::contract::SandboxEnvironment;
use faas_function::registry::FunctionRevision;
use faas_resource::Executable;

/// Where the runtime calls us; the hook knows.
pub(super) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// What a sandbox writes is named after it; the hook knows.
pub(super) const LOG_STREAM: &str = "AWS_LAMBDA_LOG_STREAM_NAME";
/// The runtime in the sandbox sets it anew for each invocation.
const TRACE: &str = "_X_AMZN_TRACE_ID";
/// How many invocations a runtime may ask for at once, as on Lambda's managed instances.
const CONCURRENCY: &str = "AWS_LAMBDA_MAX_CONCURRENCY";
const TASK_ROOT: &str = "LAMBDA_TASK_ROOT";

/// After the Lambda developer guide, 'Defined runtime environment variables'. What AWS knows and
/// this platform does not (region, credentials, the handler's name) is the function's own to set.
pub(super) fn environment(revision: &FunctionRevision) -> SandboxEnvironment {
    let mut environment = SandboxEnvironment::default();
    environment.fixed = fixed(revision);
    environment.defaults = defaults(&revision.config.executable);
    environment.code_root = names([TASK_ROOT]);
    environment.reserved = names([RUNTIME_API, LOG_STREAM, TRACE]);
    environment
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn fixed(revision: &FunctionRevision) -> BTreeMap<String, String> {
    let name = &revision.function.name;
    let memory = revision.config.resources.memory.0 >> 20;
    let mut fixed = pairs([
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", revision.number.to_string()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
    ]);
    let concurrency = revision.config.concurrency;
    if concurrency > 1 {
        fixed.insert(CONCURRENCY.to_owned(), concurrency.to_string());
    }
    fixed
}

fn defaults(executable: &Executable) -> BTreeMap<String, String> {
    let mut defaults = pairs([
        ("AWS_DEFAULT_REGION", "local".to_owned()),
        ("AWS_REGION", "local".to_owned()),
        ("TZ", ":UTC".to_owned()),
    ]);
    // An image says itself what its search path, locale and handler are.
    if let Executable::Program(program) = executable {
        let handler = program.entrypoint.display().to_string();
        defaults.extend(pairs([
            ("_HANDLER", handler),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ]));
    }
    defaults
}
