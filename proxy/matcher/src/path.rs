//! Exact paths in a map, prefixes in a trie of segments.

use std::collections::{BTreeMap, HashMap};

/// Positions of matches, ascending.
pub(crate) type Positions = Vec<usize>;

/// Matches by exact path.
#[derive(Debug, Default)]
pub(crate) struct ExactPaths(HashMap<Box<[u8]>, Positions>);

impl ExactPaths {
    pub(crate) fn insert(&mut self, path: &str, position: usize) {
        self.0.entry(path.as_bytes().into()).or_default().push(position);
    }

    pub(crate) fn find(&self, path: &[u8]) -> &[usize] {
        if self.0.is_empty() {
            return &[];
        }
        self.0.get(path).map_or(&[], Vec::as_slice)
    }
}

/// Matches by element-wise prefix.
#[derive(Debug, Default)]
pub(crate) struct PrefixTrie {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    positions: Positions,
    children: BTreeMap<Box<[u8]>, Node>,
}

impl PrefixTrie {
    /// The prefix begins with a slash and does not end with one, except that "" stands for "/".
    pub(crate) fn insert(&mut self, prefix: &str, position: usize) {
        let mut node = &mut self.root;
        for segment in segments(prefix.as_bytes()) {
            node = node.children.entry(segment.into()).or_default();
        }
        node.positions.push(position);
    }

    /// The positions of every prefix that fits, from the shortest prefix on.
    pub(crate) fn walk<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a [usize]> {
        let start = (path.first() == Some(&b'/')).then_some(&self.root);
        let mut rest = segments(path);
        std::iter::successors(start, move |node| node.children.get(rest.next()?))
            .map(|node| node.positions.as_slice())
    }
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let inner = path.strip_prefix(b"/");
    inner.into_iter().flat_map(|inner| inner.split(|byte| *byte == b'/'))
}
