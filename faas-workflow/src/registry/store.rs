//! [`StoreWorkflowRegistry`]: W1 over any [`Store`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use faas_core::encoding::{self, Stored};
use faas_core::store::{Batch, Entry, Key, KeyRange, Precondition, Scan, Space, Store};
use faas_core::{Clock, Component, Description, Error, Name, Namespace, Result, WorkflowName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CompiledWorkflow, Definition, Language, RegisterWorkflow, WorkflowInfo, WorkflowRef,
    WorkflowRegistry, WorkflowSettings, WorkflowVersion,
};
use crate::builder::RustBuilder;
use crate::program::Program;

/// `n` namespace name → [`NameState`]; `v` namespace name version → [`StoredVersion`].
const SPACE: Space = Space::watched("workflows");
/// How many programs are kept compiled.
const CACHE: usize = 4096;

#[derive(Serialize, Deserialize)]
struct NameState {
    newest: WorkflowVersion,
    deleted: bool,
}

impl Stored for NameState {
    const KIND: &'static str = "workflow-name";
    const VERSION: u32 = 1;
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredVersion {
    namespace: Namespace,
    name: WorkflowName,
    version: WorkflowVersion,
    definition: Definition,
    #[serde(default)]
    settings: WorkflowSettings,
    created: Timestamp,
}

impl Stored for StoredVersion {
    const KIND: &'static str = "workflow-version";
    const VERSION: u32 = 1;
}

impl StoredVersion {
    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version,
            digest: self.definition.digest(),
            language: self.definition.language.clone(),
            settings: self.settings,
            created: self.created,
        }
    }
}

type CacheKey = (Namespace, WorkflowName, WorkflowVersion);

/// W1 over any [`Store`]: definitions are stored as text, compiled by a [`Language`], and compiled
/// again after a restart.
pub struct StoreWorkflowRegistry {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    languages: BTreeMap<Name, Arc<dyn Language>>,
    compiled: Mutex<HashMap<CacheKey, Arc<CompiledWorkflow>>>,
}

impl fmt::Debug for StoreWorkflowRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreWorkflowRegistry")
            .field("store", &self.store)
            .field("languages", &self.languages.keys())
            .finish_non_exhaustive()
    }
}

fn name_key(namespace: &Namespace, name: &WorkflowName) -> Key {
    Key::new("n").child(namespace.as_str()).child(name.as_str())
}

fn versions_key(namespace: &Namespace, name: &WorkflowName) -> Key {
    Key::new("v").child(namespace.as_str()).child(name.as_str())
}

fn not_found(what: impl fmt::Display) -> Error {
    Error::not_found("get workflow", format!("there is no workflow {what}"))
}

impl StoreWorkflowRegistry {
    /// Over `store`, for definitions of the [`RustBuilder`].
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let registry = Self {
            store,
            clock,
            languages: BTreeMap::new(),
            compiled: Mutex::default(),
        };
        registry.with_language(Arc::new(RustBuilder::default()))
    }

    /// Adds a language, in place of another of its name.
    #[must_use]
    pub fn with_language(mut self, language: Arc<dyn Language>) -> Self {
        self.languages.insert(language.name(), language);
        self
    }

    fn compile(&self, definition: &Definition) -> Result<Arc<dyn Program>> {
        let Some(language) = self.languages.get(&definition.language) else {
            let known: Vec<_> = self.languages.keys().map(Name::as_str).collect();
            let message = format!(
                "nobody compiles {}; known: {}",
                definition.language,
                known.join(", ")
            );
            return Err(Error::unsupported("register workflow", message));
        };
        Ok(language.compile(definition)?)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<CacheKey, Arc<CompiledWorkflow>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first program of a version that somebody compiled.
    fn keep(&self, stored: StoredVersion, program: Arc<dyn Program>) -> Arc<CompiledWorkflow> {
        let info = stored.info();
        let key = (info.namespace.clone(), info.name.clone(), info.version);
        let compiled = Arc::new(CompiledWorkflow::new(info, stored.definition, program));
        let mut cache = self.cache();
        if cache.len() >= CACHE {
            // Who runs a program holds it; the others are compiled again when they are needed.
            cache.retain(|_, compiled| Arc::strong_count(compiled) > 1);
        }
        cache.entry(key).or_insert(compiled).clone()
    }

    async fn name(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
    ) -> Result<Option<(NameState, Entry)>> {
        let entry = self.store.get(&SPACE, &name_key(namespace, name)).await?;
        entry
            .map(|entry| Ok((encoding::decode(&entry.value)?, entry)))
            .transpose()
    }

    /// The newest version of a name that is not deleted.
    async fn newest(&self, namespace: &Namespace, name: &WorkflowName) -> Result<WorkflowVersion> {
        match self.name(namespace, name).await? {
            Some((state, _)) if !state.deleted => Ok(state.newest),
            _ => Err(not_found(format_args!("{namespace}/{name}"))),
        }
    }

    async fn stored(&self, key: &CacheKey) -> Result<StoredVersion> {
        let (namespace, name, version) = key;
        let place = versions_key(namespace, name).number(version.0);
        let entry = self.store.get(&SPACE, &place).await?;
        let missing = || not_found(format_args!("{namespace}/{name}@{}", version.0));
        encoding::decode(&entry.ok_or_else(missing)?.value)
    }

    async fn scan(&self, prefix: Key) -> Result<Vec<Entry>> {
        let mut range = KeyRange::prefix(prefix);
        let mut entries = Vec::new();
        loop {
            let page = self.store.scan(Scan::new(SPACE, range.clone())).await?;
            let last = page.entries.last().map(|entry| entry.key.clone());
            entries.extend(page.entries);
            match last {
                Some(last) if page.more => range = range.after(&last),
                _ => return Ok(entries),
            }
        }
    }
}

#[async_trait]
impl WorkflowRegistry for StoreWorkflowRegistry {
    async fn register(&self, request: RegisterWorkflow) -> Result<WorkflowInfo> {
        let program = self.compile(&request.definition)?;
        let (namespace, name) = (request.namespace, request.name);
        let before = self.name(&namespace, &name).await?;
        let newest = before
            .as_ref()
            .map_or(WorkflowVersion(0), |(s, _)| s.newest);
        let live = before.as_ref().is_some_and(|(state, _)| !state.deleted);
        let shown = if live { newest } else { WorkflowVersion(0) };
        if request.expected.is_some_and(|expected| expected != shown) {
            let message = format!("the newest version of {namespace}/{name} is {}", shown.0);
            return Err(Error::conflict("register workflow", message));
        }
        if live {
            let stored = self
                .stored(&(namespace.clone(), name.clone(), newest))
                .await?;
            if stored.definition == request.definition && stored.settings == request.settings {
                return Ok(stored.info());
            }
        }
        let version = WorkflowVersion(newest.0 + 1);
        let place = versions_key(&namespace, &name).number(version.0);
        let state = NameState {
            newest: version,
            deleted: false,
        };
        let condition = match &before {
            Some((_, entry)) => Precondition::At(entry.version),
            None => Precondition::Absent,
        };
        let stored = StoredVersion {
            namespace,
            name,
            version,
            definition: request.definition,
            settings: request.settings,
            created: self.clock.wall(),
        };
        let key = name_key(&stored.namespace, &stored.name);
        let batch = Batch::new()
            .put(SPACE, key, encoding::encode(&state)?, condition)
            .put(
                SPACE,
                place,
                encoding::encode(&stored)?,
                Precondition::Absent,
            );
        self.store.commit(batch).await?;
        Ok(self.keep(stored, program).info.clone())
    }

    async fn get(&self, workflow: &WorkflowRef) -> Result<Arc<CompiledWorkflow>> {
        let (namespace, name) = (&workflow.namespace, &workflow.name);
        let version = match workflow.version {
            Some(version) => version,
            None => self.newest(namespace, name).await?,
        };
        let key = (namespace.clone(), name.clone(), version);
        let cached = self.cache().get(&key).cloned();
        if let Some(compiled) = cached {
            return Ok(compiled);
        }
        let stored = self.stored(&key).await?;
        let program = self.compile(&stored.definition)?;
        Ok(self.keep(stored, program))
    }

    async fn list(&self, namespace: &Namespace) -> Result<Vec<WorkflowInfo>> {
        let prefix = Key::new("n").child(namespace.as_str());
        let mut found = Vec::new();
        for entry in self.scan(prefix).await? {
            let state: NameState = encoding::decode(&entry.value)?;
            let name = entry.key.parts().next_back().unwrap_or_default();
            let name = WorkflowName::new(String::from_utf8_lossy(name))?;
            if !state.deleted {
                let key = (namespace.clone(), name, state.newest);
                found.push(self.stored(&key).await?.info());
            }
        }
        Ok(found)
    }

    async fn versions(
        &self,
        namespace: &Namespace,
        name: &WorkflowName,
    ) -> Result<Vec<WorkflowInfo>> {
        self.newest(namespace, name).await?;
        let entries = self.scan(versions_key(namespace, name)).await?;
        let decode = |entry: &Entry| encoding::decode::<StoredVersion>(&entry.value);
        entries
            .iter()
            .map(|e| decode(e).map(|v| v.info()))
            .collect()
    }

    async fn delete(&self, namespace: &Namespace, name: &WorkflowName) -> Result<()> {
        let before = self.name(namespace, name).await?;
        let Some((before, entry)) = before.filter(|(state, _)| !state.deleted) else {
            return Err(not_found(format_args!("{namespace}/{name}")));
        };
        let state = NameState {
            newest: before.newest,
            deleted: true,
        };
        let condition = Precondition::At(entry.version);
        let key = name_key(namespace, name);
        let batch = Batch::new().put(SPACE, key, encoding::encode(&state)?, condition);
        self.store.commit(batch).await.map(|_| ())
    }

    fn describe(&self) -> Description {
        Description::new(format!("StoreWorkflowRegistry over {}", self.store.name()))
            .provides(Component::W1)
    }
}
