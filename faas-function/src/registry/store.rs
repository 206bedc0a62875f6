//! [`StoreMetadata`]: the metadata half of the registry over any store.

mod layout;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use faas_core::component::Component;
use faas_core::encoding::{decode, encode};
use faas_core::store::{Batch, Entry, Key, KeyRange, Page, Precondition, Revision, Scan};
use faas_core::{Description, Error, ErrorKind, Namespace, Result, RevisionNumber, Store};
use futures::stream::{BoxStream, StreamExt};

use super::{
    Alias, AliasChange, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision, Generation,
    MetadataStore, RegistryEvent,
};
use layout::{COUNTERS, Counter, FUNCTIONS, Function, REVISIONS, function_key, function_of};

/// The metadata store over any [`Store`]; a clone is the same registry.
///
/// Records live in the watched space `functions`, one key each, so that a watch of it is the watch
/// of the registry. Revisions live in an unwatched space; only those that the record spans are
/// visible, so a deletion is one commit of one key however many revisions there were, and what
/// they leave behind is swept afterwards. The number that a deleted function had reached stays.
#[derive(Debug, Clone)]
pub struct StoreMetadata {
    store: Arc<dyn Store>,
}

/// A record as it was read.
struct Found {
    entry: Entry,
    function: Function,
}

impl Found {
    fn generation(&self) -> Generation {
        Generation(self.entry.version.0)
    }

    fn as_read(&self) -> Precondition {
        Precondition::At(self.entry.version)
    }

    fn expect(&self, id: &FunctionId, expected: Option<Generation>) -> Result<()> {
        let is = self.generation();
        match expected.filter(|expected| *expected != is) {
            None => Ok(()),
            Some(Generation(other)) => {
                let message = format!("function {id} is at generation {}, not {other}", is.0);
                Err(Error::conflict("change function", message))
            }
        }
    }
}

fn missing(id: &FunctionId) -> Error {
    Error::not_found("find function", format!("function {id} does not exist"))
}

fn record(function: Function, generation: Generation) -> Arc<FunctionRecord> {
    let latest = Arc::new(function.latest);
    Arc::new(FunctionRecord::new(latest, function.aliases, generation))
}

/// The faults of an alias of a function that has the revisions `first..=last`.
fn check_alias(alias: &Alias, function: &Function) -> Result<()> {
    let inherited = alias.validate().err();
    let mut faults: Vec<String> = inherited
        .iter()
        .map(|error| error.message().to_owned())
        .collect();
    for number in alias.weights.keys().filter(|n| !function.spans(**n)) {
        let name = &alias.name;
        faults.push(format!(
            "alias {name} names revision {number}, of which there is none"
        ));
    }
    Error::check("set alias", faults)
}

fn changed_aliases(id: &FunctionId, function: &Function, change: &AliasChange) -> Result<Function> {
    let mut function = function.clone();
    match change {
        AliasChange::Set(alias) => {
            check_alias(alias, &function)?;
            function.aliases.insert(alias.name.clone(), alias.clone());
        }
        AliasChange::Remove(name) => {
            let gone =
                || Error::not_found("remove alias", format!("function {id} has no alias {name}"));
            function.aliases.remove(name).ok_or_else(gone)?;
        }
    }
    Ok(function)
}

impl StoreMetadata {
    /// The registry that `store` holds.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn find(&self, id: &FunctionId) -> Result<Option<Found>> {
        let Some(entry) = self.store.get(&FUNCTIONS, &function_key(id)).await? else {
            return Ok(None);
        };
        let function = decode(&entry.value)?;
        Ok(Some(Found { entry, function }))
    }

    async fn found(&self, id: &FunctionId) -> Result<Found> {
        self.find(id).await?.ok_or_else(|| missing(id))
    }

    /// Writes a record and what else is in `batch`; `None` if somebody else was faster.
    async fn write(
        &self,
        batch: Batch,
        function: Function,
        as_read: Precondition,
    ) -> Result<Option<Arc<FunctionRecord>>> {
        let place = batch.operations().len();
        let key = function_key(&function.latest.function);
        let batch = batch.put(FUNCTIONS, key, encode(&function)?, as_read);
        match self.store.commit(batch).await {
            Ok(committed) => {
                let version = committed.versions.get(place).copied().flatten();
                let nameless = || Error::internal("write function", "the store named no version");
                let generation = Generation(version.ok_or_else(nameless)?.0);
                Ok(Some(record(function, generation)))
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number that a deleted function of that name had reached, and that it stays so.
    async fn counter(&self, id: &FunctionId) -> Result<(Counter, Precondition)> {
        match self.store.get(&COUNTERS, &function_key(id)).await? {
            None => Ok((Counter::default(), Precondition::Absent)),
            Some(entry) => Ok((decode(&entry.value)?, Precondition::At(entry.version))),
        }
    }

    /// Forgets the revisions up to `last`; they are invisible already.
    async fn sweep(&self, id: &FunctionId, last: RevisionNumber) -> Result<()> {
        let end = function_key(id).number(last.0.saturating_add(1));
        let mut range = KeyRange::prefix(function_key(id));
        range.end = Some(end);
        let most = self.store.limits().operations.min(100);
        loop {
            let scan = Scan::new(REVISIONS, range.clone()).limit(most);
            let Page { entries, more, .. } = self.store.scan(scan).await?;
            if entries.is_empty() {
                return Ok(());
            }
            let batch = entries.into_iter().fold(Batch::new(), |batch, entry| {
                batch.delete(REVISIONS, entry.key, Precondition::Any)
            });
            self.store.commit(batch).await?;
            if !more {
                return Ok(());
            }
        }
    }
}

fn put_revision(batch: Batch, revision: &FunctionRevision) -> Result<Batch> {
    let key = function_key(&revision.function).number(revision.number.0);
    // Numbers never return, so nothing but what an unfinished sweep left can stand here.
    Ok(batch.put(REVISIONS, key, encode(revision)?, Precondition::Any))
}

#[async_trait]
impl MetadataStore for StoreMetadata {
    async fn create(
        &self,
        function: FunctionId,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        config.validate()?;
        loop {
            if self.find(&function).await?.is_some() {
                let message = format!("function {function} exists already");
                return Err(Error::already_exists("create function", message));
            }
            let (Counter { last }, as_read) = self.counter(&function).await?;
            let latest = FunctionRevision {
                function: function.clone(),
                number: RevisionNumber(last + 1),
                config: config.clone(),
            };
            let batch = Batch::new().check(COUNTERS, function_key(&function), as_read);
            let batch = put_revision(batch, &latest)?;
            let new = Function {
                first: latest.number,
                latest,
                aliases: BTreeMap::new(),
            };
            if let Some(record) = self.write(batch, new, Precondition::Absent).await? {
                return Ok(record);
            }
        }
    }

    async fn update(
        &self,
        function: &FunctionId,
        config: FunctionConfig,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        config.validate()?;
        loop {
            let found = self.found(function).await?;
            found.expect(function, expected)?;
            let mut new = found.function.clone();
            new.latest.number.0 += 1;
            new.latest.config = config.clone();
            let batch = put_revision(Batch::new(), &new.latest)?;
            if let Some(record) = self.write(batch, new, found.as_read()).await? {
                return Ok(record);
            }
        }
    }

    async fn set_alias(
        &self,
        function: &FunctionId,
        change: AliasChange,
        expected: Option<Generation>,
    ) -> Result<Arc<FunctionRecord>> {
        loop {
            let found = self.found(function).await?;
            found.expect(function, expected)?;
            let new = changed_aliases(function, &found.function, &change)?;
            if let Some(record) = self.write(Batch::new(), new, found.as_read()).await? {
                return Ok(record);
            }
        }
    }

    async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
        let found = self.found(function).await?;
        let generation = found.generation();
        Ok(record(found.function, generation))
    }

    async fn revision(
        &self,
        function: &FunctionId,
        number: RevisionNumber,
    ) -> Result<Arc<FunctionRevision>> {
        let none = || {
            let message = format!("function {function} has no revision {number}");
            Error::not_found("find revision", message)
        };
        let found = self.found(function).await?;
        if !found.function.spans(number) {
            return Err(none());
        }
        let key = function_key(function).number(number.0);
        // None if the function was deleted since.
        let entry = self.store.get(&REVISIONS, &key).await?.ok_or_else(none)?;
        decode(&entry.value).map(Arc::new)
    }

    async fn list(
        &self,
        namespace: Option<Namespace>,
    ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
        let prefix = namespace.map_or(Key::empty(), |namespace| Key::new(namespace.as_str()));
        let mut range = match prefix.as_bytes() {
            [] => KeyRange::all(),
            _ => KeyRange::prefix(prefix),
        };
        let mut records = Vec::new();
        let mut first = None;
        loop {
            let page = self.store.scan(Scan::new(FUNCTIONS, range.clone())).await?;
            // Later pages may show later changes, which a watch from the first one tells again.
            let revision = *first.get_or_insert(page.revision);
            for entry in &page.entries {
                records.push(record(decode(&entry.value)?, Generation(entry.version.0)));
            }
            match page.entries.last() {
                Some(last) if page.more => range = range.after(&last.key),
                _ => return Ok((records, revision)),
            }
        }
    }

    async fn delete(&self, function: &FunctionId, expected: Option<Generation>) -> Result<()> {
        loop {
            let found = self.found(function).await?;
            found.expect(function, expected)?;
            let key = function_key(function);
            let last = found.function.latest.number;
            let counter = encode(&Counter { last: last.0 })?;
            let batch = Batch::new()
                .delete(FUNCTIONS, key.clone(), found.as_read())
                .put(COUNTERS, key, counter, Precondition::Any);
            match self.store.commit(batch).await {
                Ok(_) => {
                    // The function is gone; a sweep that fails costs space, and the next one of
                    // this name makes up for it.
                    if let Err(error) = self.sweep(function, last).await {
                        tracing::warn!(%function, %error, "revisions left behind");
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
        let changes = self.store.watch(&FUNCTIONS, Key::empty(), after);
        let event = |change: Result<faas_core::store::Change>| {
            let change = change?;
            Ok(match change.value {
                None => RegistryEvent::Deleted(function_of(&change.key)?),
                Some((value, version)) => {
                    RegistryEvent::Changed(record(decode(&value)?, Generation(version.0)))
                }
            })
        };
        changes.map(event).boxed()
    }

    fn describe(&self) -> Description {
        let store = self.store.name();
        Description::new(format!("StoreMetadata over {store}")).provides(Component::F1)
    }
}
