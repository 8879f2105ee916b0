//! Which replicas of the operator there are, which have a stream, and which one gives the configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    identity::fingerprint,
    session::{Command, Event, Stream},
};

struct Peer {
    /// Tells events of this task from those of one that was ended.
    task: u64,
    handle: JoinHandle<()>,
    live: Option<Live>,
}

struct Live {
    commands: mpsc::Sender<Command>,
    replica: Option<String>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

pub(super) struct Replicas {
    bootstrap: BTreeSet<String>,
    /// As the newest Welcome said; empty: unknown.
    announced: BTreeSet<String>,
    peers: BTreeMap<String, Peer>,
    source: Option<String>,
    stream: Stream,
    tasks: u64,
    /// Since when there is no stream at all.
    alone: Option<Instant>,
    patience: Duration,
    directory: PathBuf,
    identity: Option<[u8; 32]>,
}

impl Replicas {
    pub(super) fn new(servers: Vec<String>, stream: Stream) -> Self {
        let directory = stream.directory.clone();
        let mut replicas = Self {
            bootstrap: servers.into_iter().collect(),
            announced: BTreeSet::new(),
            peers: BTreeMap::new(),
            source: None,
            tasks: 0,
            alone: None,
            patience: stream.timing.look,
            identity: fingerprint(&directory),
            directory,
            stream,
        };
        replicas.open(replicas.bootstrap.clone());
        replicas
    }

    /// Whether the event comes from a task that still counts.
    pub(super) fn knows(&self, event: &Event) -> bool {
        self.peers.get(&event.address).is_some_and(|peer| peer.task == event.task)
    }

    pub(super) fn connected(&mut self, address: &str, commands: mpsc::Sender<Command>) {
        self.alone = None;
        if let Some(peer) = self.peers.get_mut(address) {
            peer.live = Some(Live { commands, replica: None });
        }
        self.close_obsolete();
    }

    pub(super) fn welcomed(&mut self, address: &str, replica: String, replicas: Vec<String>) {
        if let Some(live) = self.peers.get_mut(address).and_then(|peer| peer.live.as_mut()) {
            live.replica = Some(replica);
        }
        if !replicas.is_empty() {
            self.announced = replicas.into_iter().collect();
            self.open(self.announced.clone());
            self.close_obsolete();
        }
    }

    pub(super) fn ended(&mut self, address: &str) {
        if let Some(peer) = self.peers.get_mut(address) {
            peer.live = None;
        }
        if self.source.as_deref() == Some(address) {
            self.source = None;
        }
    }

    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    pub(super) fn replica(&self, address: &str) -> Option<&str> {
        self.peers.get(address)?.live.as_ref()?.replica.as_deref()
    }

    pub(super) fn live(&self) -> Vec<String> {
        let live = self.peers.iter().filter(|(_, peer)| peer.live.is_some());
        live.map(|(address, _)| address.clone()).collect()
    }

    /// A replica to take configuration from, when there is none yet and one has said who it is.
    pub(super) fn choose(&mut self) -> Option<mpsc::Sender<Command>> {
        if self.source.is_some() {
            return None;
        }
        let live = self.peers.iter().filter_map(|(address, peer)| {
            Some((address, peer.live.as_ref().filter(|live| live.replica.is_some())?))
        });
        let (address, live) = live.min_by_key(|(address, _)| self.rank(address))?;
        let (address, commands) = (address.clone(), live.commands.clone());
        self.source = Some(address);
        Some(commands)
    }

    /// Differs from proxy to proxy, so that they spread over the replicas.
    fn rank(&self, address: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.stream.pod.uid, address).hash(&mut hasher);
        hasher.finish()
    }

    /// From time to time: a new certificate asks for new streams, and silence for the bootstrap's addresses.
    pub(super) fn look(&mut self, now: Instant) {
        let identity = fingerprint(&self.directory);
        if identity.is_some() && identity != self.identity {
            self.identity = identity;
            for live in self.peers.values().filter_map(|peer| peer.live.as_ref()) {
                // A full queue means a stream that is about to end anyway.
                let _ = live.commands.try_send(Command::Reconnect);
            }
        }
        if self.peers.values().any(|peer| peer.live.is_some()) {
            self.alone = None;
        } else if now.duration_since(*self.alone.get_or_insert(now)) >= self.patience {
            self.open(self.bootstrap.clone());
        }
    }

    fn open(&mut self, addresses: BTreeSet<String>) {
        for address in addresses {
            if !self.peers.contains_key(&address) {
                self.tasks = self.tasks.saturating_add(1);
                let task = self.tasks;
                let handle = tokio::spawn(self.stream.clone().run(address.clone(), task));
                self.peers.insert(address, Peer { task, handle, live: None });
            }
        }
    }

    /// Streams to other addresses end, once one of the announced replicas is there.
    fn close_obsolete(&mut self) {
        let announced = &self.announced;
        let there =
            |(address, peer): (&String, &Peer)| announced.contains(address) && peer.live.is_some();
        if self.peers.iter().any(there) {
            self.peers.retain(|address, _| announced.contains(address));
            if self.source.as_ref().is_some_and(|source| !self.peers.contains_key(source)) {
                self.source = None;
            }
        }
    }
}
