//! Kinds of resources and how names carry them.

use std::fmt;

use crate::v1::resource::Body;

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// Settings of every listener of the tier; there is one, and its name is `tier`.
    Tier,
    /// One declared listener.
    Listener,
    /// Which certificates answer an SNI.
    ServerName,
    /// The rules of one hostname.
    VirtualHost,
    /// Where requests go.
    Backend,
    /// The addresses of a backend.
    Endpoints,
    /// A certificate chain with its key.
    Certificate,
    /// CA certificates.
    TrustBundle,
    /// An access decision.
    Policy,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Tier,
        Self::Listener,
        Self::ServerName,
        Self::VirtualHost,
        Self::Backend,
        Self::Endpoints,
        Self::Certificate,
        Self::TrustBundle,
        Self::Policy,
    ];

    /// The first element of the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Listener => "listener",
            Self::ServerName => "server-name",
            Self::VirtualHost => "virtual-host",
            Self::Backend => "backend",
            Self::Endpoints => "endpoints",
            Self::Certificate => "certificate",
            Self::TrustBundle => "trust-bundle",
            Self::Policy => "policy",
        }
    }

    /// The kind that a name claims; `None` when it claims none of them.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if name == Self::Tier.as_str() {
            return Some(Self::Tier);
        }
        let (prefix, rest) = name.split_once('/')?;
        if rest.is_empty() {
            return None;
        }
        Self::ALL.into_iter().find(|kind| *kind != Self::Tier && kind.as_str() == prefix)
    }

    /// The kind of a body.
    #[must_use]
    pub const fn of_body(body: &Body) -> Self {
        match body {
            Body::Tier(_) => Self::Tier,
            Body::Listener(_) => Self::Listener,
            Body::ServerName(_) => Self::ServerName,
            Body::VirtualHost(_) => Self::VirtualHost,
            Body::Backend(_) => Self::Backend,
            Body::Endpoints(_) => Self::Endpoints,
            Body::Certificate(_) => Self::Certificate,
            Body::TrustBundle(_) => Self::TrustBundle,
            Body::Policy(_) => Self::Policy,
        }
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_claim_their_kind_or_none() {
        for (name, kind) in [
            ("tier", Some(ResourceKind::Tier)),
            ("listener/http", Some(ResourceKind::Listener)),
            ("backend/shop/web/80", Some(ResourceKind::Backend)),
            ("trust-bundle/edge/ca", Some(ResourceKind::TrustBundle)),
            ("tier/x", None),
            ("listener", None),
            ("listener/", None),
            ("Listener/http", None),
            ("", None),
            ("/x", None),
        ] {
            assert_eq!(ResourceKind::of_name(name), kind, "{name:?}");
        }
    }
}
