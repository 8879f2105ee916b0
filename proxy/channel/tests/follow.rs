//! A snapshot file, followed end to end.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gatefleet_channel::{ChannelState, EffectiveSet, Engine, Refusals, Source, follow_file};
use gatefleet_snapshot::v1::Resource;
use tokio::{sync::watch, time::timeout};

#[derive(Default)]
struct Names(Mutex<Vec<String>>);

impl Engine for Names {
    type Compiled = ();

    fn capabilities(&self) -> &[&'static str] {
        &[]
    }

    fn compile(&self, resource: &Resource) -> Result<(), String> {
        if resource.name.ends_with("bad") { Err("it is bad".into()) } else { Ok(()) }
    }

    async fn swap(&self, set: EffectiveSet<()>) -> Result<(), Refusals> {
        *self.0.lock().unwrap() = set.iter().map(|(name, _)| name.to_owned()).collect();
        Ok(())
    }
}

fn snapshot(names: &[&str]) -> String {
    let resources: Vec<String> =
        names.iter().map(|name| format!("{{\"name\": \"{name}\", \"backend\": {{}}}}")).collect();
    format!("{{\"schemaVersion\": 1, \"resources\": [{}]}}", resources.join(", "))
}

#[tokio::test]
async fn a_followed_file_keeps_its_last_good_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot.json");
    let replace = |text: &str| {
        let fresh = directory.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &path).unwrap();
    };
    let engine = Arc::new(Names::default());
    let (sender, mut state) = watch::channel(ChannelState::default());
    let follower =
        tokio::spawn(follow_file(path.clone(), Arc::clone(&engine), sender)).abort_handle();
    let mut until = async |so: fn(&ChannelState) -> bool| {
        let found = timeout(Duration::from_secs(10), state.wait_for(so)).await.unwrap();
        ChannelState::clone(&found.unwrap())
    };
    assert!(!until(|state| state.problem.is_some()).await.ready, "there is no file yet");

    replace(&snapshot(&["backend/a", "backend/bad"]));
    let first = until(|state| state.ready && state.problem.is_none()).await;
    assert_eq!(first.source, Source::File(path.clone()));
    assert_eq!(first.outcomes.len(), 2);
    assert_eq!(*engine.0.lock().unwrap(), ["backend/a"]);

    replace("{\"schemaVersion\": 1, \"resources\": [");
    let problem = until(|state| state.problem.is_some()).await.problem.unwrap();
    assert!(problem.contains("snapshot.json: line 1: EOF"), "{problem}");
    assert_eq!(*engine.0.lock().unwrap(), ["backend/a"]);

    replace(&snapshot(&["backend/b"]));
    until(|state| state.installs == 2 && state.problem.is_none()).await;
    assert_eq!(*engine.0.lock().unwrap(), ["backend/b"]);
    follower.abort();
}
