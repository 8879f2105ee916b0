//! Errors that another Service answers.

use gatefleet_ir::Reason;

use super::parse::Reader;

/// The Service that answers errors, and which.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Errors {
    /// In the namespace of the Ingress.
    pub(crate) service: String,
    /// Ascending.
    pub(crate) statuses: Vec<u16>,
}

const SERVICE: &str = "default-backend";
const STATUSES: &str = "custom-http-errors";

impl Errors {
    /// The field that names the Service.
    pub(crate) const FIELD: &str =
        "metadata.annotations[nginx.ingress.kubernetes.io/default-backend]";

    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let statuses = parse_statuses(reader);
        let Some(service) = reader.text(SERVICE) else {
            if !statuses.is_empty() {
                let message = "nobody answers these errors: name a Service in default-backend";
                reader.tell(STATUSES, Reason::AnnotationNotServed, message);
            }
            return None;
        };
        Some(Self { service: service.to_owned(), statuses })
    }
}

fn parse_statuses(reader: &mut Reader<'_>) -> Vec<u16> {
    let Some(text) = reader.text(STATUSES) else { return Vec::new() };
    let mut statuses = Vec::new();
    for word in text.split(',').map(str::trim) {
        match word.parse::<u16>() {
            Ok(status) if (400..=599).contains(&status) => statuses.push(status),
            _ => reader.tell_invalid(STATUSES, word, "a status from 400 to 599"),
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}
