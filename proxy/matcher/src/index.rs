//! The first match, in the given order, that fits a request.

use gatefleet_snapshot::v1::{self, path_match::Kind};

use crate::{
    MatchError,
    condition::{Conditions, Request},
    path::{ExactPaths, PrefixTrie},
    pattern::Pattern,
};

/// What a request hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Index into `VirtualHost.rules`.
    pub rule: usize,
    /// Index into `VirtualHost.matches`.
    pub position: usize,
    /// Bytes of the path that a prefix match covered (what a prefix rewrite replaces); `None`: no prefix.
    pub prefix: Option<usize>,
}

#[derive(Debug)]
struct Entry {
    rule: usize,
    prefix: Option<usize>,
    conditions: Conditions,
}

/// `VirtualHost.matches`, indexed by path. Matches of one kind of path are tried in order; across kinds the
/// smallest position wins.
#[derive(Debug, Default)]
pub struct MatchIndex {
    entries: Vec<Entry>,
    exact: ExactPaths,
    prefixes: PrefixTrie,
    patterns: Vec<(usize, Pattern)>,
    anywhere: Vec<usize>,
}

impl MatchIndex {
    /// Indexes matches that stand in order of precedence and point into `rules` rules.
    ///
    /// # Errors
    /// When a match points nowhere, a path does not begin with a slash, or a pattern does not compile.
    pub fn compile(matches: &[v1::Match], rules: usize) -> Result<Self, MatchError> {
        let mut index = Self::default();
        for (position, source) in matches.iter().enumerate() {
            index
                .insert(position, source, rules)
                .map_err(|error| error.within(&format!("matches[{position}]")))?;
        }
        Ok(index)
    }

    fn insert(
        &mut self,
        position: usize,
        source: &v1::Match,
        rules: usize,
    ) -> Result<(), MatchError> {
        let rule = usize::try_from(source.rule).ok().filter(|rule| *rule < rules);
        let Some(rule) = rule else {
            let problem = format!("rule {} of {rules} does not exist", source.rule);
            return Err(MatchError::new("rule", problem, "use an index into rules"));
        };
        let mut prefix = None;
        match source.path.as_ref().and_then(|path| path.kind.as_ref()) {
            Some(Kind::Exact(path)) => {
                self.exact.insert(absolute(path, "path.exact")?, position);
            }
            Some(Kind::Prefix(path)) => {
                let path = absolute(path, "path.prefix")?;
                let path = path.strip_suffix('/').unwrap_or(path);
                prefix = Some(path.len());
                self.prefixes.insert(path, position);
            }
            Some(Kind::Regex(regex)) => {
                let pattern = Pattern::compile(regex).map_err(|e| e.within("path.regex"))?;
                self.patterns.push((position, pattern));
            }
            None => self.anywhere.push(position),
        }
        let conditions = Conditions::compile(source)?;
        self.entries.push(Entry { rule, prefix, conditions });
        Ok(())
    }

    /// The first match that fits.
    pub fn find(&self, request: &impl Request) -> Option<Hit> {
        let path = request.path();
        let mut best = None;
        self.improve(&mut best, self.exact.find(path), request);
        for positions in self.prefixes.walk(path) {
            self.improve(&mut best, positions, request);
        }
        self.improve(&mut best, &self.anywhere, request);
        for (position, pattern) in &self.patterns {
            if best.is_some_and(|best| best < *position) {
                break;
            }
            if pattern.is_match(path) && self.fits(*position, request) {
                best = Some(*position);
                break;
            }
        }
        let position = best?;
        let entry = self.entries.get(position)?;
        Some(Hit { rule: entry.rule, position, prefix: entry.prefix })
    }

    /// Lowers `best` to the first of these positions that fits.
    fn improve(&self, best: &mut Option<usize>, positions: &[usize], request: &impl Request) {
        for position in positions {
            if best.is_some_and(|best| best < *position) {
                return;
            }
            if self.fits(*position, request) {
                *best = Some(*position);
                return;
            }
        }
    }

    fn fits(&self, position: usize, request: &impl Request) -> bool {
        self.entries.get(position).is_some_and(|entry| entry.conditions.fit(request))
    }
}

fn absolute<'a>(path: &'a str, field: &str) -> Result<&'a str, MatchError> {
    if path.starts_with('/') {
        return Ok(path);
    }
    let problem = format!("{path:?} does not begin with a slash");
    Err(MatchError::new(field, problem, "write an absolute path"))
}
