//! Rules for names, labels and annotations (`k8s.io/apimachinery/pkg/util/validation`).

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::{builtin::Strategy, error::Cause, object, resource::Resource};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// Total size of all annotations of an object.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Checks name, labels, annotations, owner references and finalizers.
pub(crate) fn check_metadata(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object::name(object);
    let refused = match resource.strategy {
        // Roles may hold colons and the like.
        _ if resource.group == "rbac.authorization.k8s.io" => {
            (name.contains('/') || name.contains('%')).then_some("may not contain '/' or '%'")
        }
        Strategy::Namespace | Strategy::Service => label_fault(name),
        _ => subdomain_fault(name),
    };
    if let Some(detail) = refused {
        causes.push(Cause::invalid("metadata.name", &json!(name), detail));
    }
    check_labels(object, &["metadata", "labels"], "metadata.labels", &mut causes);
    check_annotations(object, &mut causes);
    for (index, owner) in object::list(object, &["metadata", "ownerReferences"]).iter().enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if object::text(owner, &[field]).is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                causes.push(Cause::invalid(
                    path,
                    &json!(""),
                    &format!("{field} must not be empty"),
                ));
            }
        }
    }
    let controllers = object::list(object, &["metadata", "ownerReferences"])
        .iter()
        .filter(|o| o["controller"] == json!(true))
        .count();
    if controllers > 1 {
        let owners = &object["metadata"]["ownerReferences"];
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            owners,
            "Only one reference can have Controller set to true.",
        ));
    }
    causes
}

fn check_annotations(object: &Value, causes: &mut Vec<Cause>) {
    let Some(annotations) =
        object::at(object, &["metadata", "annotations"]).and_then(Value::as_object)
    else {
        return;
    };
    let mut size = 0;
    for (key, value) in annotations {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(detail) = qualified_fault(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), detail));
        }
    }
    if size > MAX_ANNOTATIONS {
        let message = format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes");
        causes.push(Cause {
            reason: "FieldValueTooLong",
            field: "metadata.annotations".into(),
            message,
        });
    }
}

/// Checks a map of labels.
pub(crate) fn check_labels(object: &Value, path: &[&str], shown: &str, causes: &mut Vec<Cause>) {
    let Some(labels) = object::at(object, path).and_then(Value::as_object) else { return };
    for (key, value) in labels {
        if let Some(detail) = qualified_fault(key) {
            causes.push(Cause::invalid(shown, &json!(key), detail));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid(shown, value, "must be no more than 63 bytes"));
        } else if !text.is_empty() && !is_name(text, |c| c.is_ascii_alphanumeric(), "-_.") {
            causes.push(Cause::invalid(shown, value, LABEL_VALUE));
        }
    }
}

/// `[prefix/]name`.
pub(crate) fn qualified_fault(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if subdomain_fault(prefix).is_some() {
                return Some("prefix part must be a valid DNS subdomain");
            }
            name
        }
        None => key,
    };
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes");
    }
    (!is_name(name, |c| c.is_ascii_alphanumeric(), "-_.")).then_some(QUALIFIED)
}

/// What is wrong with a DNS subdomain.
pub(crate) fn subdomain_fault(name: &str) -> Option<&'static str> {
    if name.len() > 253 {
        return Some("must be no more than 253 bytes");
    }
    let good = name.split('.').all(|label| is_name(label, is_lower_alphanumeric, "-"));
    (!good).then_some(SUBDOMAIN)
}

/// What is wrong with a DNS label.
pub(crate) fn label_fault(name: &str) -> Option<&'static str> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes");
    }
    if name.contains('.') {
        return Some("must not contain dots");
    }
    (!is_name(name, is_lower_alphanumeric, "-")).then_some(LABEL)
}

/// What is wrong with a network in CIDR notation (`IsValidCIDRForLegacyField`, strict).
pub(crate) fn network_fault(text: &str) -> Option<&'static str> {
    const GENERAL: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let parsed = text.split_once('/').and_then(|(address, bits)| {
        Some((address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?))
    });
    let Some((address, bits)) = parsed else { return Some(GENERAL) };
    let (number, length) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let Some(rest) = u32::checked_sub(length, bits) else { return Some(GENERAL) };
    let mapped = matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
    if mapped {
        return Some("must not have an IPv4-mapped IPv6 address");
    }
    let beyond = number & 1_u128.checked_shl(rest).map_or(u128::MAX, |bit| bit.wrapping_sub(1));
    (beyond != 0).then_some("must not have bits set beyond the prefix length")
}

fn is_lower_alphanumeric(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// At least one character, ends that are `edge`, and between them `edge` or `inner`.
fn is_name(text: &str, edge: fn(char) -> bool, inner: &str) -> bool {
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || inner.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, good) in
            [("a", true), ("a.b-c", true), ("", false), ("A", false), ("a.", false), ("-a", false)]
        {
            assert_eq!(subdomain_fault(name).is_none(), good, "{name}");
        }
        assert!(label_fault("a.b").is_some());
        for (key, good) in
            [("a", true), ("a.b/C_d", true), ("a/b/c", false), ("", false), ("A.b/c", false)]
        {
            assert_eq!(qualified_fault(key).is_none(), good, "{key}");
        }
    }
}
