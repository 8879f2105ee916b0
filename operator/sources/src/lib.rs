//! What users wrote, as claims.
//!
//! Input: one object and the objects that it names. Output: claims of the route model, and a diagnostic for
//! everything that does not hold. Invariants: translation is total (no input makes it fail or stop); one object's
//! result does not depend on any other of its kind; every name that was looked up is reported, found or not; what
//! guards access and cannot be served fails closed for exactly its rules. A source knows no other source, no tier
//! and no wire format.

mod annotations;
mod certificate;
mod ingress;
mod private_key;
mod regex;

pub use annotations::{ServedAnnotation, served_annotations};
pub use certificate::{Certificate, CertificateProblem, read_certificate};
pub use ingress::{ServiceName, Translation, claimant_of, class_of, translate_ingress};
