//! The generated pages of `docs/reference`.

use crate::{ConditionType, Phase, Reason};

/// The text of `docs/reference/conditions.md`.
#[must_use]
pub fn conditions_page() -> String {
    let mut lines = vec![String::from(
        "<!-- Generated from crds/src/vocabulary.rs; written by `make crds`. -->\n\
         # Phases, conditions and reasons of a GatewayConfig\n\n\
         `kubectl get gwc` shows the phase, `kubectl get gwc -o wide` the message, `kubectl describe gwc NAME` all of it.\n\
         Conditions decide; the phase repeats them in one word. Each transition is one Event with the reason below.\n\n\
         ## Phases\n\n| Phase | means |\n|---|---|",
    )];
    for phase in Phase::ALL {
        lines.push(format!("| `{phase}` | {} |", phase.meaning()));
    }
    lines.push("\n## Conditions\n\n| Type | says |\n|---|---|".to_owned());
    for condition in ConditionType::ALL {
        lines.push(format!("| `{condition}` | {} |", condition.meaning()));
    }
    lines.push(String::from(
        "\n## Reasons\n\n`Ready`, `Reconciling` and `Stalled` carry the reason of the condition that decides.\n\
         \"Act\" marks those that need somebody (`Stalled`, phase `Failed`).\n\n\
         | Reason | on | act | means | what to do |\n|---|---|---|---|---|",
    ));
    for reason in Reason::ALL {
        let (meaning, remedy) = (reason.meaning(), reason.remedy());
        let on: Vec<_> = reason.conditions().iter().map(|on| format!("`{on}`")).collect();
        let act = if reason.is_stalled() { "yes" } else { "" };
        lines.push(format!("| `{reason}` | {} | {act} | {meaning} | {remedy} |", on.join(", ")));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    /// `make crds` writes the page.
    #[test]
    fn the_committed_pages_are_fresh() {
        expect_file!["../../docs/reference/conditions.md"].assert_eq(&conditions_page());
        expect_file!["../../docs/reference/api.md"].assert_eq(&crate::api_page());
    }
}
