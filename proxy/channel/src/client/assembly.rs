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
