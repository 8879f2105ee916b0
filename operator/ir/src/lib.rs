//! The route model.
//!
//! Input: claims, what one object says for one (scope, hostname). Output: hosts with their rules in an explicit
//! order of precedence, and diagnostics for everybody whose word does not hold. Invariants: the result does not
//! depend on the order in which objects are given; nothing is dropped without a diagnostic; a rule knows who
//! said it. It knows no Kubernetes object, no route language's syntax and no wire format.

mod claim;
mod diagnostic;
mod listener;
mod merge;
mod model;
mod precedence;
mod server_name;
mod side_host;

pub use claim::{
    AlternativeClaim, Claim, Claimant, HostSettings, Language, RegexForm, RootClaim, RuleClaim,
    Scope, SideHost, SideService, TlsRedirect,
};
pub use diagnostic::{Diagnostic, Reason, Severity};
pub use listener::{
    CertificateRef, ClientValidation, KeyKind, L4Claim, Listener, Protocol, Termination, TlsClaim,
};
pub use merge::{Host, Merged, merge};
pub use model::{
    Action, Addresses, Alternative, Anchor, AppProtocol, Backend, BackendTls, Balance, Cors,
    Decision, Direct, ErrorService, Filter, Forward, HeaderEdit, HeaderStep, HeaderStepValue,
    Match, PathMatch, PathRewrite, Policy, Redirect, Regex, Retry, Rewrite, Rule, RuleTimeouts,
    ServiceBackend, ValueCondition, ValueMatch, WeightedBackend,
};
pub use server_name::{MergedServerName, NamedCertificate, ServerName, merge_server_name};
pub use side_host::{SideHosts, redirect_host, settle_side_hosts};
