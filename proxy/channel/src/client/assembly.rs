//! Messages of a stream to transactions.

use std::sync::Arc;

use gatefleet_snapshot::{
    MAX_RESOURCE_BYTES,
    v1::{Commit, Delta, Fragment, Resource},
};
use prost::Message;

use crate::Transaction;

/// What the server must not send. The stream ends, and nothing of the open transaction is taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssemblyError {
    #[error("the server sent a resource of more than {MAX_RESOURCE_BYTES} bytes")]
    TooLarge,
    #[error("the server sent a resource in parts that cannot be decoded")]
    Undecodable,
    #[error("the server interrupted a resource that it sent in parts")]
    Interrupted,
}

/// The transaction that is being received.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    transaction: Transaction,
    fragment: Vec<u8>,
}

impl Assembly {
    pub(super) fn delta(&mut self, delta: Delta) -> Result<(), AssemblyError> {
        self.expect_whole()?;
        for resource in delta.upserts {
            self.transaction.upsert(Arc::new(resource));
        }
        for name in delta.removals {
            self.transaction.remove(name);
        }
        Ok(())
    }

    pub(super) fn fragment(&mut self, fragment: &Fragment) -> Result<(), AssemblyError> {
        if self.fragment.len().saturating_add(fragment.data.len()) > MAX_RESOURCE_BYTES {
            return Err(AssemblyError::TooLarge);
        }
        self.fragment.extend_from_slice(&fragment.data);
        if fragment.last {
            let bytes = std::mem::take(&mut self.fragment);
            let resource = Resource::decode(bytes.as_slice());
            let resource = resource.map_err(|_error| AssemblyError::Undecodable)?;
            self.transaction.upsert(Arc::new(resource));
        }
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        commit: Commit,
    ) -> Result<(Transaction, String), AssemblyError> {
        self.expect_whole()?;
        let mut transaction = std::mem::take(&mut self.transaction);
        if commit.full {
            transaction.set_full();
        }
        transaction.watermark = commit.watermark;
        Ok((transaction, commit.nonce))
    }

    fn expect_whole(&self) -> Result<(), AssemblyError> {
        if self.fragment.is_empty() { Ok(()) } else { Err(AssemblyError::Interrupted) }
    }
}

#[cfg(test)]
mod tests {
    use gatefleet_snapshot::{
        seal,
        v1::{TrustBundle, resource::Body},
    };
    use prost::bytes::Bytes;

    use super::*;

    fn bundle(content: &str) -> Resource {
        let body = TrustBundle { certificates: content.to_owned() };
        seal("trust-bundle/a", Body::TrustBundle(body))
    }

    fn fragments(bytes: &[u8], size: usize) -> Vec<Fragment> {
        let parts: Vec<&[u8]> = bytes.chunks(size).collect();
        let last = parts.len().saturating_sub(1);
        let fragment = |(index, part): (usize, &&[u8])| Fragment {
            data: Bytes::copy_from_slice(part),
            last: index == last,
        };
        parts.iter().enumerate().map(fragment).collect()
    }

    #[test]
    fn nothing_is_a_transaction_before_its_commit_and_the_next_one_starts_empty() {
        let mut assembly = Assembly::default();
        let removals = vec!["backend/b".to_owned()];
        assembly.delta(Delta { upserts: vec![bundle("one")], removals }).unwrap();
        for fragment in fragments(&bundle("two").encode_to_vec(), 7) {
            assembly.fragment(&fragment).unwrap();
        }
        let commit = Commit { nonce: "n1".into(), ..Commit::default() };
        let (transaction, nonce) = assembly.commit(commit.clone()).unwrap();
        assert_eq!(nonce, "n1");
        assert_eq!(*transaction.upserts()["trust-bundle/a"], bundle("two"), "the last one counts");
        assert!(transaction.removals().contains("backend/b") && !transaction.is_full());
        assert!(assembly.commit(commit).unwrap().0.is_empty());
    }

    #[test]
    fn a_server_that_breaks_a_resource_is_caught() {
        let parts = fragments(&bundle(&"x".repeat(100)).encode_to_vec(), 30);
        let interrupted = |after: fn(&mut Assembly) -> Result<(), AssemblyError>| {
            let mut assembly = Assembly::default();
            assembly.fragment(&parts[0]).unwrap();
            after(&mut assembly).unwrap_err()
        };
        let delta = interrupted(|assembly| assembly.delta(Delta::default()));
        assert_eq!(delta, AssemblyError::Interrupted);
        let commit = interrupted(|assembly| assembly.commit(Commit::default()).map(|_| ()));
        assert_eq!(commit, AssemblyError::Interrupted);
        let garbage = interrupted(|assembly| {
            let data = Bytes::from_static(&[0xff; 40]);
            assembly.fragment(&Fragment { data, last: true })
        });
        assert_eq!(garbage, AssemblyError::Undecodable);

        let mut assembly = Assembly::default();
        let huge = Fragment { data: Bytes::from(vec![0; 1 << 20]), last: false };
        let refused = (0..17).find_map(|_| assembly.fragment(&huge).err());
        assert_eq!(refused, Some(AssemblyError::TooLarge));
    }
}
