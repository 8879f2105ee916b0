//! What is done with a request: an answer of our own, or a backend.

use gatefleet_matcher::Request;

use crate::{
    choose::{choose, random_below},
    compile::{
        Action, Choice, Cors, Direct, ErrorService, Filter, Redirect, Refusal, Rule, Target,
    },
    connection::ConnectionInfo,
    edit::{Filtered, filter_request},
    h1::Rejection,
    head::RequestHead,
    observe::Failure,
    origin::{Origin, find_origin, write_origin},
    replace::Replacement,
    table::{LinkedHost, Table},
    upstreams::Upstreams,
};

/// What is done with a request.
pub(crate) enum Plan<'a, B> {
    Answer(Answer<'a>),
    Forward(Route<'a, B>),
}

/// A backend that was chosen.
pub(crate) struct Route<'a, B> {
    pub(crate) rule: &'a Rule,
    pub(crate) choice: &'a Choice,
    pub(crate) backend: &'a B,
    pub(crate) backend_name: &'a str,
}

/// An answer of our own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// One CamelCase word for page and log.
    pub(crate) reason: &'a str,
    pub(crate) failure: Option<Failure>,
    pub(crate) content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// Status, reason and request id.
    Page,
    /// Nothing.
    Empty,
    /// As configured.
    Direct(&'a Direct),
    /// A Location, with what the match covered of the path.
    Redirect(&'a Redirect, Option<usize>),
}

impl<'a> Answer<'a> {
    /// To a browser's question: what it may do stands in the head.
    const PREFLIGHT: Self =
        Self { status: 204, reason: "", failure: None, content: Content::Empty };

    pub(crate) fn page(status: u16, reason: &'a str, failure: Failure) -> Self {
        Self { status, reason, failure: Some(failure), content: Content::Page }
    }

    fn direct(direct: &'a Direct, failure: Option<Failure>) -> Self {
        let content = if direct.body.is_empty() { Content::Page } else { Content::Direct(direct) };
        Self { status: direct.status, reason: &direct.reason, failure, content }
    }

    fn redirect(redirect: &'a Redirect, prefix: Option<usize>) -> Self {
        let content = Content::Redirect(redirect, prefix);
        Self { status: redirect.status, reason: "", failure: None, content }
    }
}

impl<'a> From<Refusal<'a>> for Answer<'a> {
    fn from(refusal: Refusal<'a>) -> Self {
        Self::page(refusal.status, refusal.reason, refusal.failure)
    }
}

impl From<Rejection> for Answer<'static> {
    fn from(rejection: Rejection) -> Self {
        let failure = match rejection.status {
            408 => Failure::HeadTimeout,
            413 => Failure::BodyTooLarge,
            414 | 431 => Failure::HeadTooLarge,
            _ => Failure::BadRequest,
        };
        Self::page(rejection.status, rejection.reason, failure)
    }
}

/// A head as matches see it.
struct View<'a>(&'a RequestHead);

impl Request for View<'_> {
    fn path(&self) -> &[u8] {
        match self.0.path() {
            b"*" => b"/",
            path => path,
        }
    }

    fn method(&self) -> &[u8] {
        self.0.method()
    }

    fn query(&self) -> Option<&[u8]> {
        self.0.query()
    }

    fn any_header(&self, name: &[u8], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        if name == b"host" {
            return fits(self.0.authority());
        }
        self.0.fields.values(name).any(fits)
    }
}

/// A plan, the rule it comes from (empty: none), and who asked.
pub(crate) struct Decision<'a, B> {
    pub(crate) plan: Plan<'a, B>,
    pub(crate) rule_name: &'a str,
    pub(crate) origin: Origin,
    /// Where errors of the backend are answered.
    pub(crate) errors: Option<Errors<'a, B>>,
    /// Who may read answers of our own.
    pub(crate) cors: Option<&'a Cors>,
}

/// Routes a request, asks its policies, and runs the request side of its filters on `head`.
pub(crate) fn decide<'a, U: Upstreams>(
    table: &'a Table<U::Backend>,
    info: &ConnectionInfo,
    upstreams: &U,
    head: &mut RequestHead,
) -> Decision<'a, U::Backend> {
    let origin = find_origin(head, info, table.settings());
    let found = table.find(&info.scope, head.host(), &View(head));
    write_origin(head, info, origin);
    if head.authority().is_empty() {
        // HTTP/1.0 without Host; HTTP/1.1 towards the backend needs one.
        let local = lend_display(info.local);
        head.set_authority(&local);
        crate::buffer::return_text(local);
    }
    if let Some(refusal) = table.refuse(&info.scope, origin.client) {
        let plan = Plan::Answer(refusal.into());
        return Decision { plan, rule_name: "", origin, errors: None, cors: None };
    }
    let rule = found.and_then(|(host, hit)| Some((host, hit, host.rule(hit.rule)?)));
    let Some((host, hit, rule)) = rule else {
        let plan = Plan::Answer(Answer::page(404, "NoRoute", Failure::NoRoute));
        return Decision { plan, rule_name: "", origin, errors: None, cors: None };
    };
    let plan = apply_rule(host, rule, hit.prefix, origin, upstreams, head);
    let plan = plan.unwrap_or_else(Plan::Answer);
    let errors = rule.errors.is_some().then_some(Errors { host, rule });
    // An answer that nobody can replace is passed on.
    let errors = errors.filter(|errors| errors.backend().is_some());
    let cors = rule.filters.iter().find_map(|filter| match filter {
        Filter::Cors(cors) => Some(cors),
        _ => None,
    });
    Decision { plan, rule_name: &rule.name, origin, errors, cors }
}

/// Where the errors of a rule's backends are answered.
pub(crate) struct Errors<'a, B> {
    host: &'a LinkedHost<B>,
    rule: &'a Rule,
}

impl<B> Clone for Errors<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Errors<'_, B> {}

impl<'a, B> Errors<'a, B> {
    /// Who answers instead of the proxy, and how it is asked; `None`: nobody.
    pub(crate) fn replacement(
        self,
        answer: &Answer<'_>,
    ) -> Option<(&'a ErrorService, Route<'a, B>, Replacement)> {
        let rule = self.rule;
        let service = rule.errors.as_ref()?;
        let how = service.replacement(answer)?;
        let (backend_name, backend) = self.backend()?;
        let choice = &service.choice;
        Some((service, Route { rule, choice, backend, backend_name }, how))
    }

    fn backend(self) -> Option<(&'a str, &'a B)> {
        match &self.rule.errors.as_ref()?.choice.target {
            Target::Backend(index) => {
                let (name, backend) = self.host.backend(*index);
                Some((name, backend?))
            }
            Target::Unavailable(_) => None,
        }
    }
}

fn lend_display(value: impl std::fmt::Display) -> Vec<u8> {
    use std::io::Write;
    let mut text = crate::buffer::lend_text();
    // Writing to a vector cannot fail.
    let _ = write!(text, "{value}");
    text
}

fn apply_rule<'a, U: Upstreams>(
    host: &'a LinkedHost<U::Backend>,
    rule: &'a Rule,
    prefix: Option<usize>,
    origin: Origin,
    upstreams: &U,
    head: &mut RequestHead,
) -> Result<Plan<'a, U::Backend>, Answer<'a>> {
    for index in &rule.policies {
        let policy = host.policy(*index).ok_or(Refusal::UNAVAILABLE)?;
        if let Some(refusal) = policy.refuse(origin.client) {
            return Err(refusal.into());
        }
    }
    run_filters(&rule.filters, prefix, origin, head)?;
    let forward = match &rule.action {
        Action::Forward(forward) => forward,
        Action::Redirect(redirect) => return Err(Answer::redirect(redirect, prefix)),
        Action::Direct(direct) => return Err(Answer::direct(direct, None)),
    };
    let has_endpoints = |index: usize| {
        host.backend(index).1.is_some_and(|backend| upstreams.has_endpoints(backend))
    };
    let choice = choose(forward, head, has_endpoints, random_below).ok_or(Answer::page(
        503,
        "NoBackend",
        Failure::BackendUnavailable,
    ))?;
    let index = match &choice.target {
        Target::Backend(index) => *index,
        Target::Unavailable(direct) => {
            return Err(Answer::direct(direct, Some(Failure::BackendUnavailable)));
        }
    };
    let (backend_name, backend) = host.backend(index);
    let backend =
        backend.ok_or(Answer::page(503, "BackendMissing", Failure::BackendUnavailable))?;
    run_filters(&choice.filters, prefix, origin, head)?;
    Ok(Plan::Forward(Route { rule, choice, backend, backend_name }))
}

fn run_filters<'a>(
    filters: &'a [Filter],
    prefix: Option<usize>,
    origin: Origin,
    head: &mut RequestHead,
) -> Result<(), Answer<'a>> {
    match filter_request(filters, prefix, origin, head) {
        Ok(Filtered::Pass) => Ok(()),
        Ok(Filtered::Redirect(redirect)) => Err(Answer::redirect(redirect, prefix)),
        Ok(Filtered::Preflight) => Err(Answer::PREFLIGHT),
        Err(rejection) => Err(Answer::from(rejection)),
    }
}
