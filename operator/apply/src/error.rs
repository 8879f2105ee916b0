//! Why a write did not happen.

use std::{fmt, time::Duration};

/// What was tried, on which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// In the imperative: `apply`, `delete`, `update status of`.
    pub verb: &'static str,
    /// As in `kind:` of a manifest.
    pub kind: String,
    /// `metadata.namespace`; empty for cluster-scoped kinds.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, kind, namespace, name } = self;
        match namespace.as_str() {
            "" => write!(f, "{verb} {kind} {name}"),
            _ => write!(f, "{verb} {kind} {namespace}/{name}"),
        }
    }
}

/// Why the API server, or the way to it, said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody else changed the object, or owns a field (409).
    Conflict,
    /// The object is not there, or is another one of the same name (404).
    Absent,
    /// Its namespace, or it, is being deleted.
    Terminating,
    /// The object itself is wrong (400, 422).
    Invalid,
    /// RBAC or an admission rule (401, 403).
    Forbidden,
    /// The API server asks to come back later (429, 503 with Retry-After).
    Busy(Duration),
    /// No answer: perhaps it was written, perhaps not.
    Unanswered,
    /// Nothing was sent: another replica of the operator leads, or may lead by now.
    Standby,
}

impl Refusal {
    /// Reads it from what the client says.
    #[must_use]
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Unanswered };
        let terminating = status.code == 403 && status.message.contains("being terminated");
        let retry_after = status
            .details
            .as_ref()
            .map(|details| details.retry_after_seconds)
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(u64::from(seconds.min(60))));
        match status.code {
            _ if terminating => Self::Terminating,
            409 => Self::Conflict,
            404 | 410 => Self::Absent,
            400 | 405 | 413 | 415 | 422 => Self::Invalid,
            401 | 403 => Self::Forbidden,
            429 | 503 => Self::Busy(retry_after.unwrap_or(Duration::from_secs(1))),
            _ => Self::Unanswered,
        }
    }

    /// Whether only a change of the object or of the rules helps.
    #[must_use]
    pub const fn needs_somebody(self) -> bool {
        matches!(self, Self::Invalid | Self::Forbidden)
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Conflict => "somebody else changed it; it is tried again",
            Self::Absent => "it is gone; it is looked at again",
            Self::Terminating => "it is being deleted; nothing is written to it any more",
            Self::Invalid => "the API server calls it invalid",
            Self::Forbidden => {
                "allow the operator's ServiceAccount to do this, or lift the admission rule"
            }
            Self::Busy(_) => "the API server is busy; it is tried again",
            Self::Unanswered => "no answer; it is tried again",
            Self::Standby => "another replica of the operator leads; it writes",
        }
    }
}

/// A write that did not happen, or of which it is unknown.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {} ({said})", refusal.remedy())]
pub struct WriteError {
    /// What was tried.
    pub action: Box<Action>,
    /// Why not.
    pub refusal: Refusal,
    /// In the words of the API server, or else of the client.
    pub said: Box<str>,
}

impl WriteError {
    pub(crate) fn standby(action: Action) -> Self {
        let said = "this replica does not lead".into();
        Self { action: Box::new(action), refusal: Refusal::Standby, said }
    }

    pub(crate) fn late(action: Action) -> Self {
        let said = "this replica's term ended meanwhile".into();
        Self { action: Box::new(action), refusal: Refusal::Unanswered, said }
    }

    pub(crate) fn new(action: Action, error: &kube::Error) -> Self {
        let said = match error {
            kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
            error => error.to_string(),
        };
        Self { action: Box::new(action), refusal: Refusal::of(error), said: said.into() }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn answers_of_the_api_server_are_told_apart() {
        for (code, message, expected) in [
            (409, "the object has been modified", Refusal::Conflict),
            (404, "not found", Refusal::Absent),
            (422, "spec.replicas: must be positive", Refusal::Invalid),
            (403, "cannot patch", Refusal::Forbidden),
            (403, "namespace edge is being terminated", Refusal::Terminating),
            (429, "too many requests", Refusal::Busy(Duration::from_secs(1))),
            (500, "etcd is away", Refusal::Unanswered),
        ] {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            assert_eq!(
                Refusal::of(&kube::Error::Api(Box::new(status))),
                expected,
                "{code} {message}"
            );
        }
    }
}
