//! Writing to the cluster: server-side apply, status, pruning, events.
//!
//! In: objects as they should be and as they were last seen. Out: as few requests as possible, and errors
//! that say what was tried and whether trying again helps.
//! Invariants: what is already so is not written; every delete names the UID and resourceVersion that it was
//! decided on; one [`Writer`] has one field manager and states its whole intent each time; a failed event
//! fails nothing; a replica that does not lead sends nothing. It must not decide what should be.

mod error;
mod events;
mod leadership;
mod overridden;
mod settled;
mod writer;

pub use error::{Action, Refusal, WriteError};
pub use events::{Events, Finding, Weight};
pub use leadership::{Leadership, Term};
pub use overridden::{Override, yield_overridden};
pub use settled::{is_settled, owns};
pub use writer::{Applied, Writable, Writer};
