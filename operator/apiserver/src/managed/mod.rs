//! Who owns which field (`metadata.managedFields`), and server-side apply on top of it.

pub(crate) mod set;
pub(crate) mod typed;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::{
    set::Set,
    typed::{Comparison, compare, merge, owned, remove, with_named},
};
use crate::{
    error::{Answer, Failure},
    object,
    schema::Schema,
    verbs::{Part, Writing},
};

/// Metadata that nobody owns.
const UNOWNED: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// One entry of `managedFields` without its fields and time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Manager {
    /// Sorts `Apply` before `Update`.
    operation: String,
    name: String,
    subresource: String,
    /// Empty for `Apply`: there it is no part of the identity.
    version: String,
}

/// What one manager owns, and since when.
#[derive(Debug, Clone)]
struct Holding {
    fields: Set,
    version: String,
    time: String,
}

type Holdings = BTreeMap<Manager, Holding>;

impl Manager {
    fn of(writing: &Writing<'_>, operation: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            name: writing.manager.clone(),
            subresource: if writing.part == Part::Status { "status".into() } else { String::new() },
            version: if operation == "Apply" {
                String::new()
            } else {
                writing.resource.stored_api_version()
            },
        }
    }

    /// As conflict messages name it.
    fn shown(&self, holding: &Holding) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        let version = match self.operation.as_str() {
            "Update" => format!(" using {}", holding.version),
            _ => String::new(),
        };
        format!("{:?}{subresource}{version}", self.name)
    }
}

/// Records what a write that is no apply changed. `managedFields: []` from the client clears the record.
pub(crate) fn track(writing: &Writing<'_>, old: Option<&Value>, object: &mut Value) {
    let sent = object["metadata"].get("managedFields");
    let cleared =
        sent.is_some_and(|s| s.as_array().is_some_and(|l| l.is_empty() || l == &[json!({})]));
    let live = match sent {
        Some(_) if old.is_some() => read(object),
        _ => old.map(read).unwrap_or_default(),
    };
    object::meta_mut(object).remove("managedFields");
    // An object that lost its last manager is not tracked any more, until it is applied.
    if old.is_some() && (cleared || live.is_empty()) {
        return;
    }
    let nothing = nothing(object);
    let mut comparison = compare(old.unwrap_or(&nothing), object, &writing.resource.schema);
    comparison.each(|set| strip(writing, set));
    let mut holdings = live;
    let changed = comparison.added.union(&comparison.modified);
    give_way(&mut holdings, None, &comparison);
    if !changed.is_empty() {
        let holding = holdings.entry(Manager::of(writing, "Update")).or_insert_with(|| Holding {
            fields: Set::default(),
            version: writing.resource.stored_api_version(),
            time: String::new(),
        });
        holding.fields = holding.fields.union(&changed);
        holding.time = object::now();
    }
    write(object, &holdings);
}

/// What a new object is compared with. Go's structs are there before anything is: nobody owns them.
fn nothing(object: &Value) -> Value {
    let (version, kind) = (object::text(object, &["apiVersion"]), object::text(object, &["kind"]));
    crate::protobuf::zero::zero(version, kind)
        .unwrap_or_else(|| json!({"apiVersion": version, "kind": kind}))
}

/// Takes from everybody but one what a change took over or removed.
fn give_way(holdings: &mut Holdings, except: Option<&Manager>, comparison: &Comparison) {
    let taken = comparison.added.union(&comparison.modified).union(&comparison.removed);
    for (manager, holding) in holdings.iter_mut() {
        if Some(manager) != except {
            holding.fields = holding.fields.difference(&taken);
        }
    }
    holdings.retain(|_, holding| !holding.fields.is_empty());
}

/// Applies a configuration to the live object (`{}` if there is none); the result knows its owners.
pub(crate) fn apply(
    writing: &Writing<'_>,
    live: &Value,
    config: &Value,
    force: bool,
) -> Answer<Value> {
    let schema = &writing.resource.schema;
    let me = Manager::of(writing, "Apply");
    let mut holdings = read(live);
    if holdings.is_empty() && !object::meta(live, "uid").is_empty() {
        holdings.extend(before_first_apply(writing, live));
    }
    let former = holdings.clone();
    let last = holdings.get(&me).map(|h| h.fields.clone()).unwrap_or_default();

    let mut wanted = owned(config, schema);
    strip(writing, &mut wanted);
    let time = former.get(&me).map(|h| h.time.clone()).unwrap_or_default();
    let version = writing.resource.stored_api_version();
    holdings.insert(me.clone(), Holding { fields: wanted, version, time });
    let mut merged = merge(live, config, schema);
    if !last.is_empty() {
        merged = prune(&merged, &holdings, &last, schema);
    }

    let mut bare = live.clone();
    for object in [&mut bare, &mut merged] {
        object::meta_mut(object).remove("managedFields");
    }
    let mut comparison = compare(&bare, &merged, schema);
    comparison.each(|set| strip(writing, set));
    let conflicts = conflicts(&holdings, &me, &comparison);
    if !force && !conflicts.is_empty() {
        return Err(Failure::apply_conflict(&conflicts));
    }
    give_way(&mut holdings, Some(&me), &comparison);
    if let Some(mine) = holdings.get_mut(&me).filter(|_| bare != merged) {
        mine.time = object::now();
    }
    holdings.retain(|_, holding| !holding.fields.is_empty());
    write(&mut merged, &holdings);
    Ok(merged)
}

/// Who owns what was there before anybody was tracked.
fn before_first_apply(writing: &Writing<'_>, live: &Value) -> Option<(Manager, Holding)> {
    let manager = Manager { name: "before-first-apply".into(), ..Manager::of(writing, "Update") };
    let mut fields = compare(&nothing(live), live, &writing.resource.schema).added;
    strip(writing, &mut fields);
    let version = writing.resource.stored_api_version();
    (!fields.is_empty()).then(|| (manager, Holding { fields, version, time: object::now() }))
}

/// The fields that the change touches and somebody else owns.
fn conflicts(holdings: &Holdings, me: &Manager, comparison: &Comparison) -> Vec<(String, String)> {
    let touched = comparison.added.union(&comparison.modified);
    let mut conflicts = Vec::new();
    let mut others: Vec<_> = holdings.iter().filter(|(m, _)| *m != me).collect();
    others.sort_by_key(|(manager, _)| &manager.name);
    for (manager, holding) in others {
        let who = manager.shown(holding);
        let fields = holding.fields.intersection(&touched).shown();
        conflicts.extend(fields.into_iter().map(|field| (who.clone(), field)));
    }
    conflicts
}

/// Removes what the manager applied last time, does not apply now, and nobody else owns.
fn prune(merged: &Value, holdings: &Holdings, last: &Set, schema: &Schema) -> Value {
    let last = with_named(last, schema);
    let pruned = remove(merged, &last, schema);
    let everything = with_named(&owned(merged, schema), schema);

    let managed = holdings.values().fold(Set::default(), |all, h| all.union(&h.fields));
    let kept = with_named(&owned(&pruned, schema), schema).union(&with_named(&managed, schema));
    let pruned = remove(merged, &everything.difference(&kept), schema);

    let kept = with_named(&owned(&pruned, schema), schema);
    remove(merged, &everything.difference(&kept).intersection(&last), schema)
}

/// Takes out what nobody owns, and what this part of the object does not write.
fn strip(writing: &Writing<'_>, set: &mut Set) {
    set.remove_tree("apiVersion");
    set.remove_tree("kind");
    set.remove_fields(&["metadata"]);
    for field in UNOWNED {
        set.remove_fields(&["metadata", field]);
    }
    match writing.part {
        Part::Status => set.keep_tree("status"),
        Part::Main if writing.resource.status => set.remove_tree("status"),
        Part::Main => {}
    }
}

fn read(object: &Value) -> Holdings {
    let text = |entry: &Value, field: &str| object::text(entry, &[field]).to_owned();
    object::list(object, &["metadata", "managedFields"])
        .iter()
        .map(|entry| {
            let operation = text(entry, "operation");
            let version = text(entry, "apiVersion");
            let manager = Manager {
                version: if operation == "Apply" { String::new() } else { version.clone() },
                name: text(entry, "manager"),
                subresource: text(entry, "subresource"),
                operation,
            };
            let fields = Set::from_json(&entry["fieldsV1"]);
            (manager, Holding { fields, version, time: text(entry, "time") })
        })
        .collect()
}

fn write(object: &mut Value, holdings: &Holdings) {
    let entries: Vec<Value> = holdings
        .iter()
        .map(|(manager, holding)| {
            let mut entry = json!({
                "manager": manager.name, "operation": manager.operation, "apiVersion": holding.version,
                "fieldsType": "FieldsV1", "fieldsV1": holding.fields.to_json(),
            });
            if !holding.time.is_empty() {
                entry["time"] = json!(holding.time);
            }
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        })
        .collect();
    let meta = object::meta_mut(object);
    if entries.is_empty() {
        meta.remove("managedFields");
    } else {
        meta.insert("managedFields".into(), json!(entries));
    }
}

/// Are two states equal but for the times of their managers?
pub(crate) fn same_but_times(old: &Value, new: &Value) -> bool {
    let stripped = |value: &Value| {
        let mut value = value.clone();
        if let Some(list) = value["metadata"]["managedFields"].as_array_mut() {
            for entry in list {
                object::as_map(entry).remove("time");
            }
        }
        value
    };
    old == new || stripped(old) == stripped(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse::parse_standalone;

    /// What stays of `merged` when a manager that applied `last` now applies `spec: {}`.
    fn emptied(merged: &Value, last: &Value) -> Value {
        let schema = parse_standalone(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "size": {"type": "integer"}, "text": {"type": "string"},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            }}}}),
        );
        let manager = Manager {
            operation: "Apply".into(),
            name: "one".into(),
            subresource: String::new(),
            version: String::new(),
        };
        let fields = owned(&json!({"spec": {}}), &schema);
        let holding = Holding { fields, version: String::new(), time: String::new() };
        prune(merged, &Holdings::from([(manager, holding)]), &owned(last, &schema), &schema)
    }

    /// The three steps of structured-merge-diff have corners; these were seen on a real server.
    #[test]
    fn an_object_that_is_applied_empty_keeps_what_nobody_owns() {
        let last = json!({"spec": {"text": "t"}});
        let merged = json!({"kind": "K", "spec": {"size": 1, "text": "t"}});
        assert_eq!(emptied(&merged, &last), json!({"kind": "K", "spec": {"size": 1}}));
        let merged = json!({"kind": "K", "spec": {"text": "t"}});
        assert_eq!(emptied(&merged, &last), json!({"kind": "K", "spec": null}));
        // An empty set is neither owned nor removed, and that takes the whole object along.
        let merged = json!({"kind": "K", "spec": {"size": 1, "text": "t", "set": []}});
        assert_eq!(emptied(&merged, &last), json!({"kind": "K"}));
    }
}
