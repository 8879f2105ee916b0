//! Certificates that end.

use gatefleet_crds::{CertificateStatus, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::finding::Finding;
use crate::observed::CertificateObservation;

/// How many certificates a status lists.
const MAX_LISTED: usize = 20;
/// Whoever renews certificates has done so long before.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

fn in_order(observed: &[CertificateObservation]) -> Vec<&CertificateObservation> {
    let mut sorted: Vec<&CertificateObservation> = observed.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}

/// For the status.
pub(super) fn listed(observed: &[CertificateObservation]) -> Vec<CertificateStatus> {
    let first = in_order(observed).into_iter().take(MAX_LISTED);
    let listed = first
        .map(|one| CertificateStatus { name: one.name.clone(), not_after: Time(one.not_after) });
    listed.collect()
}

/// `None`: each has more than [`SOON`] left.
pub(super) fn expiring(observed: &[CertificateObservation], now: Timestamp) -> Option<Finding> {
    let due = in_order(observed).into_iter().filter(|one| one.not_after.duration_since(now) < SOON);
    let due: Vec<&CertificateObservation> = due.collect();
    let first = due.first()?;
    let (reason, verb) = if first.not_after <= now {
        (Reason::CertificateExpired, "expired")
    } else {
        (Reason::CertificateEndsSoon, "ends")
    };
    let more = match due.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let message = format!(
        "the certificate in Secret {} {verb} at {}: renew it{more}",
        first.name, first.not_after
    );
    Some(Finding::new(true, reason, message))
}

/// How long until [`expiring`] says something else although nothing new is observed.
pub(super) fn next_change(
    observed: &[CertificateObservation],
    now: Timestamp,
) -> Option<SignedDuration> {
    let left = observed.iter().map(|one| one.not_after.duration_since(now));
    // From 14 days before the end on, and at the end; a moment later it has surely come.
    let waits = left.flat_map(|left| [left - SOON, left]).filter(SignedDuration::is_positive);
    waits.min().map(|wait| wait + SignedDuration::from_secs(1))
}
