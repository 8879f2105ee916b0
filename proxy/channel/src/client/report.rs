//! What the proxy says: pure, in messages of at most 1 MiB.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_snapshot::{
    MAX_MESSAGE_BYTES,
    v1::{Report, Subscribe, Watermark},
};
use prost::Message;

use crate::Outcome;

/// Left free in every message for what stands around the list.
const MARGIN: usize = 1024;
/// Tag and length of one element, and tags and lengths of a map's key and value.
const ELEMENT: usize = 16;
/// Longest message about one resource, in bytes.
const MAX_TEXT: usize = 1024;

type Outcomes = BTreeMap<Arc<str>, Outcome>;

/// What is installed on every thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) ready: bool,
    pub(super) regressed: bool,
    /// Address of the server and nonce of the commit that led to it.
    pub(super) commit: Option<(String, String)>,
}

/// The messages that turn what a server knows (`before`) into what is held (`after`); at least one.
pub(super) fn reports(before: &Held, after: &Held, nonce: &str) -> Vec<Report> {
    let mut reports = Reports { done: Vec::new(), open: Report::default(), bytes: 0 };
    if !Arc::ptr_eq(&before.outcomes, &after.outcomes) {
        reports.add_differences(&before.outcomes, &after.outcomes);
    }
    let mut all = reports.done;
    all.push(reports.open);
    let last = all.len().saturating_sub(1);
    for (index, report) in all.iter_mut().enumerate() {
        report.watermark_regressed = after.regressed;
        // Only the last one makes it complete.
        if index == last {
            nonce.clone_into(&mut report.nonce);
            report.ready = after.ready;
        } else {
            report.ready = before.ready;
        }
    }
    all
}

struct Reports {
    done: Vec<Report>,
    open: Report,
    bytes: usize,
}

impl Reports {
    /// Walks both in order of name, since most of thousands are the same.
    fn add_differences(&mut self, before: &Outcomes, after: &Outcomes) {
        let mut old = before.iter().peekable();
        for (name, outcome) in after {
            while let Some((gone, _)) = old.next_if(|(old, _)| *old < name) {
                self.remove(gone);
            }
            if old.next_if(|(old, _)| *old == name).is_none_or(|(_, known)| known != outcome) {
                let mut outcome = outcome.to_wire(name);
                outcome.message = shortened(outcome.message);
                self.make_room(outcome.encoded_len());
                self.open.outcomes.push(outcome);
            }
        }
        for (gone, _) in old {
            self.remove(gone);
        }
    }

    fn remove(&mut self, name: &str) {
        self.make_room(name.len());
        self.open.removed.push(name.to_owned());
    }

    fn make_room(&mut self, bytes: usize) {
        let bytes = bytes.saturating_add(ELEMENT);
        if self.bytes.saturating_add(bytes) > MAX_MESSAGE_BYTES - MARGIN {
            self.done.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

fn shortened(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_TEXT));
    message
}

/// Asks for what differs from `versions`.
pub(super) fn subscribes<'a>(
    versions: impl Iterator<Item = (&'a str, &'a str)>,
    watermark: Vec<Watermark>,
) -> Vec<Subscribe> {
    let mut done = Vec::new();
    let mut open = Subscribe::default();
    let mut room = MAX_MESSAGE_BYTES - MARGIN;
    for (name, version) in versions {
        let bytes = name.len().saturating_add(version.len()).saturating_add(ELEMENT);
        if bytes > room {
            open.more = true;
            done.push(std::mem::take(&mut open));
            room = MAX_MESSAGE_BYTES - MARGIN;
        }
        room = room.saturating_sub(bytes);
        open.initial_versions.insert(name.to_owned(), version.to_owned());
    }
    open.watermark = watermark;
    done.push(open);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(names: impl Iterator<Item = usize>, version: &str, message: &str) -> Held {
        let outcome = |index: usize| {
            let name: Arc<str> = format!("backend/{index:06}").into();
            let (version, message) = (version.into(), message.into());
            (name, Outcome::DependencyRefused { version, message })
        };
        Held { outcomes: Arc::new(names.map(outcome).collect()), ready: true, ..Held::default() }
    }

    #[test]
    fn only_what_changed_is_said() {
        let before = held(0..4, "1", "");
        let mut after = held(1..4, "1", "");
        let newer = Outcome::Installed { version: "2".into() };
        Arc::make_mut(&mut after.outcomes).insert("backend/000003".into(), newer);
        let reports = reports(&before, &after, "n1");
        let [report] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!(report.nonce, "n1");
        assert_eq!(report.removed, ["backend/000000"]);
        let changed: Vec<_> = report.outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
        assert_eq!(changed, ["backend/000003"]);
    }

    #[test]
    fn no_message_exceeds_a_mebibyte_and_only_the_last_is_ready() {
        let after = held(0..5000, "1", &"ä".repeat(4000));
        let all = reports(&Held::default(), &after, "n1");
        assert!(all.len() > 4, "{}", all.len());
        assert!(all.iter().all(|report| report.encoded_len() <= MAX_MESSAGE_BYTES));
        assert_eq!(all.iter().map(|report| report.outcomes.len()).sum::<usize>(), 5000);
        let (last, others) = all.split_last().unwrap();
        assert!(last.ready && last.nonce == "n1");
        assert!(others.iter().all(|report| !report.ready && report.nonce.is_empty()));
    }

    #[test]
    fn initial_versions_come_in_parts() {
        let names: Vec<String> =
            (0..20_000).map(|index| format!("virtual-host/{index:050}")).collect();
        let version = "0123456789abcdef0123456789abcdef";
        let parts = subscribes(names.iter().map(|name| (name.as_str(), version)), Vec::new());
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.encoded_len() <= MAX_MESSAGE_BYTES));
        assert_eq!(parts.iter().map(|part| part.initial_versions.len()).sum::<usize>(), 20_000);
        let (last, others) = parts.split_last().unwrap();
        assert!(!last.more && others.iter().all(|part| part.more));
    }
}
