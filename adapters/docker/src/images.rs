//! Images that have to be pulled first.

use std::fmt;

use async_trait::async_trait;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use faas_core::Result;
use futures::StreamExt;

use crate::config::DockerNodeBuilder;
use crate::error;

/// When a node pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pull {
    /// Never: what is not there cannot be started.
    Never,
    /// When it is not there.
    IfAbsent,
}

/// What a registry wants to know before it gives or takes an image.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// Who we are.
    pub user: String,
    /// That we are.
    pub password: String,
}

impl Login {
    /// By name and password (or token).
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
        }
    }

    pub(crate) fn engine(self, registry: &str) -> DockerCredentials {
        DockerCredentials {
            username: Some(self.user),
            password: Some(self.password),
            serveraddress: Some(registry.into()),
            ..DockerCredentials::default()
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Gives the credentials for a registry, each time that they are needed.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// What to say to the registry of that name (`docker.io` where a reference names none); `None` to
    /// come as nobody in particular.
    async fn login(&self, registry: &str) -> Result<Option<Login>>;
}

/// Comes to every registry as nobody in particular.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn login(&self, _: &str) -> Result<Option<Login>> {
        Ok(None)
    }
}

/// The registry of a reference, by the rule of Docker's references: its first part, if that can be
/// a host.
pub(crate) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// Pulls an image. Dropping the future ends the pull.
pub(crate) async fn pull(config: &DockerNodeBuilder, reference: &str) -> Result<()> {
    const OPERATION: &str = "pull image";
    let registry = registry(reference);
    let login = config.credentials.login(registry).await?;
    let tagged = reference.contains('@')
        || reference
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'));
    let options = CreateImageOptions {
        from_image: Some(reference.into()),
        // Without a tag, the engine would pull all of them.
        tag: (!tagged).then(|| "latest".into()),
        ..CreateImageOptions::default()
    };
    let login = login.map(|login| login.engine(registry));
    let mut progress = config
        .engine
        .docker
        .create_image(Some(options), None, login);
    while let Some(step) = progress.next().await {
        step.map_err(|e| error::engine(OPERATION, reference, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_registries_or_not() {
        assert_eq!(registry("busybox"), "docker.io");
        assert_eq!(registry("library/busybox:1"), "docker.io");
        assert_eq!(registry("localhost/a"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/a@sha256:00"), "127.0.0.1:5000");
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", Login::new("ann", "secret"));
        assert!(
            shown.contains("ann") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
