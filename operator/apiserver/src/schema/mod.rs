//! The structure of a kind: which fields exist, how lists merge, what is defaulted and checked.
//!
//! One type serves custom resources (from `openAPIV3Schema`) and built-in kinds (from `k8s-openapi`'s schemas and
//! the table in `builtin`). Pruning, defaulting, validation, server-side apply and strategic merge all walk it.

pub(crate) mod default;
pub(crate) mod format;
pub(crate) mod parse;
pub(crate) mod prune;
pub(crate) mod validate;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

/// The structure of one value.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the schema language")]
pub(crate) struct Schema {
    /// `None` accepts every type.
    pub(crate) kind: Option<Type>,
    /// Known fields of an object.
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    /// What unknown fields of an object look like.
    pub(crate) additional: Additional,
    /// What elements of a list look like.
    pub(crate) items: Option<Arc<Schema>>,
    /// How a list merges.
    pub(crate) list: List,
    /// An object that is owned and replaced as one value.
    pub(crate) atomic: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub(crate) preserve: bool,
    /// `x-kubernetes-embedded-resource`.
    pub(crate) embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub(crate) int_or_string: bool,
    /// Is `null` a value of it?
    pub(crate) nullable: bool,
    /// What an absent field becomes.
    pub(crate) default: Option<Value>,
    /// Strategic merge: the field that tells list elements apart (empty: a list of plain values that merges).
    pub(crate) merge_key: Option<String>,
    /// Strategic merge: `retainKeys`.
    pub(crate) retain_keys: bool,
    /// What a value must satisfy.
    pub(crate) checks: Checks,
}

/// JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// `additionalProperties`.
#[derive(Debug, Clone, Default)]
pub(crate) enum Additional {
    /// There are none: other fields are unknown.
    #[default]
    None,
    /// Anything goes.
    Any,
    /// A map of these values.
    Of(Arc<Schema>),
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum List {
    /// Replaced as one value.
    #[default]
    Atomic,
    /// Plain values, each owned.
    Set,
    /// Objects told apart by these fields.
    Map(Vec<String>),
}

/// Value validation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    pub(crate) required: Vec<String>,
    pub(crate) values: Option<Vec<Value>>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) format: Option<String>,
    pub(crate) minimum: Option<(f64, bool)>,
    pub(crate) maximum: Option<(f64, bool)>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length: (Option<u64>, Option<u64>),
    pub(crate) items: (Option<u64>, Option<u64>),
    pub(crate) properties: (Option<u64>, Option<u64>),
    pub(crate) unique: bool,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// A regular expression with its text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    /// `None` if it is no valid expression: then nothing matches.
    pub(crate) compiled: Option<regex::Regex>,
}

impl Schema {
    /// A schema that accepts and keeps everything.
    pub(crate) fn any() -> Self {
        Self { preserve: true, ..Self::default() }
    }

    /// The schema of one field; `None` if the field is unknown.
    pub(crate) fn field(&self, name: &str) -> Option<&Arc<Schema>> {
        self.properties.get(name).or(match &self.additional {
            Additional::Of(schema) => Some(schema),
            Additional::None | Additional::Any => None,
        })
    }

    /// Does an object of it keep fields that it does not name?
    pub(crate) fn keeps_unknown(&self) -> bool {
        self.preserve || matches!(self.additional, Additional::Any)
    }
}
