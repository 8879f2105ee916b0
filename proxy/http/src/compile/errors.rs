//! Errors that another backend answers.

use gatefleet_snapshot::v1;

use super::{
    Choice, CompileError, Names, Target,
    filter::{Pairs, compile_pairs},
    intern,
    rule::final_status,
};

/// Which errors of a rule another backend answers, and what it is told.
#[derive(Debug)]
pub(crate) struct ErrorService {
    /// The only choice there is.
    pub(crate) choice: Choice,
    /// Ascending.
    pub(crate) statuses: Box<[u16]>,
    pub(crate) no_endpoints: bool,
    pub(crate) headers: Pairs,
}

pub(super) fn compile_errors(
    source: &v1::ErrorService,
    names: &mut Names,
) -> Result<ErrorService, CompileError> {
    if source.backend.is_empty() {
        return Err(CompileError::new("backend", "it is empty", "name a backend"));
    }
    let status = |(index, status): (usize, &u32)| {
        final_status(*status, 400..=599)
            .map_err(|error| CompileError { field: format!("statuses[{index}]"), ..error })
    };
    let mut statuses: Vec<u16> =
        source.statuses.iter().enumerate().map(status).collect::<Result<_, _>>()?;
    statuses.sort_unstable();
    let target = Target::Backend(intern(&mut names.backends, &source.backend));
    Ok(ErrorService {
        choice: Choice { weight: 1, target, filters: Box::default() },
        statuses: statuses.into(),
        no_endpoints: source.no_endpoints,
        headers: compile_pairs(&source.headers, "headers", true)?,
    })
}
