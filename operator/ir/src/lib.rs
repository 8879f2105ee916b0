//! The route model.
//!
//! Input: claims, what one object says for one (scope, hostname). Output: hosts with their rules in an explicit
//! order of precedence, and diagnostics for everybody whose word does not hold. Invariants: the result does not
//! depend on the order in which objects are given; nothing is dropped without a diagnostic; a rule knows who
//! said it. It knows no Kubernetes object, no route language's syntax and no wire format.

mod diagnostic;

pub use diagnostic::{Diagnostic, Reason, Severity};
