//! What cargo inherits of this process's environment.

use std::ffi::OsString;

/// To find programs, directories, registries and the network; nothing that says how or for what to
/// build, and no secret. So not what an outer cargo set for this process (`CARGO`, `RUSTC_WRAPPER`,
/// `CARGO_TARGET_DIR`, `CARGO_PKG_…`), with one exception: a toolchain that was chosen for this
/// process is the one that is sure to be installed.
const NAMES: [&str; 21] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "DEVELOPER_DIR",
    "SDKROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];
const PREFIXES: [&str; 4] = [
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
];
const SECRETS: [&str; 2] = ["_TOKEN", "_CREDENTIAL_PROVIDER"];

fn is_inherited(name: &str) -> bool {
    let configures = PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !SECRETS.iter().any(|suffix| name.ends_with(suffix));
    configures || NAMES.contains(&name)
}

/// The variables of this process that cargo is given.
pub(super) fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited))
}

#[cfg(test)]
mod tests {
    use super::is_inherited;

    #[test]
    fn what_finds_is_inherited_and_what_builds_or_is_secret_is_not() {
        for name in ["PATH", "CARGO_HOME", "CARGO_REGISTRIES_MINE_INDEX"] {
            assert!(is_inherited(name), "{name}");
        }
        let foreign = [
            "CARGO",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_MANIFEST_DIR",
            "CARGO_REGISTRIES_MINE_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "OUT_DIR",
            "LD_LIBRARY_PATH",
            "AWS_SECRET_ACCESS_KEY",
        ];
        for name in foreign {
            assert!(!is_inherited(name), "{name}");
        }
    }
}
