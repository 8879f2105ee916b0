//! What a Deployment's pods should become: which to start, which to end. Pure.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// One pod of a Deployment, as far as a rollout is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Replica {
    /// Made from the current template.
    pub(crate) current: bool,
    pub(crate) ready: bool,
    /// Ready for at least `minReadySeconds`.
    pub(crate) available: bool,
    /// Creation order: among equals the youngest goes first.
    pub(crate) age: u64,
    pub(crate) name: String,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many pods to create from the current template.
    pub(crate) create: usize,
    /// Which pods to delete.
    pub(crate) delete: Vec<String>,
}

/// How pods are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All old ones end before the first new one starts.
    Recreate,
    /// At most `surge` too many, at most `unavailable` too few.
    Rolling { surge: usize, unavailable: usize },
}

/// The settings of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) replicas: usize,
    pub(crate) strategy: Strategy,
    pub(crate) paused: bool,
}

impl Wish {
    /// Reads a Deployment, with Kubernetes' defaults (1 replica, 25 % surge, 25 % unavailable).
    pub(crate) fn parse(deployment: &Deployment) -> Self {
        let default = DeploymentSpec::default();
        let spec = deployment.spec.as_ref().unwrap_or(&default);
        let replicas = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let recreate = spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref())
            == Some("Recreate");
        let quarter = IntOrString::String("25%".to_owned());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).unwrap_or(&quarter);
        let unavailable =
            rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&quarter);
        let strategy = if recreate {
            Strategy::Recreate
        } else {
            let surge = share(surge, replicas, true);
            let unavailable = share(unavailable, replicas, false);
            // Both zero could never move; Kubernetes resolves that the same way.
            let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
            Strategy::Rolling { surge, unavailable }
        };
        Self { replicas, strategy, paused: spec.paused.unwrap_or(false) }
    }
}

/// A number, or a percentage of `whole`, rounded as told.
fn share(value: &IntOrString, whole: usize, up: bool) -> usize {
    match value {
        IntOrString::Int(number) => usize::try_from(*number).unwrap_or(0),
        IntOrString::String(text) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = whole.saturating_mul(percent);
            if up { product.div_ceil(100) } else { product / 100 }
        }
    }
}

/// Plans the next step. `ending` pods (deleted, still running) are not among `replicas`.
pub(crate) fn plan(wish: Wish, replicas: &[Replica], ending: usize) -> Plan {
    let mut sorted = replicas.to_vec();
    sorted.sort_by(|a, b| expendable_first(a).cmp(&expendable_first(b)));
    let (current, old): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|replica| replica.current);
    match wish.strategy {
        _ if wish.paused => scale_only(wish, &current, &old),
        Strategy::Recreate => recreate(wish, &current, &old, ending),
        Strategy::Rolling { surge, unavailable } => roll(wish, surge, unavailable, &current, &old),
    }
}

/// Not ready before ready, not yet available before available, young before old.
fn expendable_first(replica: &Replica) -> (bool, bool, std::cmp::Reverse<u64>, &str) {
    (replica.ready, replica.available, std::cmp::Reverse(replica.age), &replica.name)
}

#[expect(single_use_lifetimes, reason = "an iterator's item cannot leave it out")]
fn names<'a>(replicas: impl IntoIterator<Item = &'a Replica>) -> Vec<String> {
    replicas.into_iter().map(|replica| replica.name.clone()).collect()
}

/// While a rollout is paused, only the number changes, and only of what is current.
fn scale_only(wish: Wish, current: &[Replica], old: &[Replica]) -> Plan {
    let total = current.len() + old.len();
    let surplus = total.saturating_sub(wish.replicas);
    let create = if old.is_empty() { wish.replicas.saturating_sub(total) } else { 0 };
    Plan { create, delete: names(old.iter().chain(current).take(surplus)) }
}

fn recreate(wish: Wish, current: &[Replica], old: &[Replica], ending: usize) -> Plan {
    if !old.is_empty() {
        return Plan { create: 0, delete: names(old) };
    }
    let room = if ending == 0 { wish.replicas.saturating_sub(current.len()) } else { 0 };
    let surplus = current.len().saturating_sub(wish.replicas);
    // Pods that end because of scaling down need not hold up scaling up, but nothing is lost by waiting for them.
    Plan { create: room, delete: names(current.iter().take(surplus)) }
}

fn roll(
    wish: Wish,
    surge: usize,
    unavailable: usize,
    current: &[Replica],
    old: &[Replica],
) -> Plan {
    let total = current.len() + old.len();
    let room = (wish.replicas + surge).saturating_sub(total);
    let create = wish.replicas.saturating_sub(current.len()).min(room);
    let surplus = current.len().saturating_sub(wish.replicas);
    let mut delete = names(current.iter().take(surplus));
    let kept = current.iter().skip(surplus).chain(old);
    let available = kept.filter(|replica| replica.available).count();
    let least = wish.replicas.saturating_sub(unavailable);
    let mut spare = available.saturating_sub(least);
    for replica in old {
        // Ending a pod that serves nothing costs nothing.
        if !replica.available {
            delete.push(replica.name.clone());
        } else if spare > 0 {
            spare -= 1;
            delete.push(replica.name.clone());
        }
    }
    Plan { create, delete }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One character a pod, oldest first: `N`/`n` current and available or not, `O`/`o` old and available or not.
    fn replicas(picture: &str) -> Vec<Replica> {
        let replica = |(age, character): (usize, char)| Replica {
            current: character.eq_ignore_ascii_case(&'n'),
            ready: character.is_uppercase(),
            available: character.is_uppercase(),
            age: age as u64,
            name: format!("{character}{age}"),
        };
        picture.chars().enumerate().map(replica).collect()
    }

    fn step(replicas_wanted: usize, strategy: Strategy, picture: &str) -> (usize, String) {
        let wish = Wish { replicas: replicas_wanted, strategy, paused: false };
        let plan = plan(wish, &replicas(picture), 0);
        (plan.create, plan.delete.join(" "))
    }

    #[test]
    fn one_step_at_a_time() {
        let careful = Strategy::Rolling { surge: 1, unavailable: 0 };
        let bold = Strategy::Rolling { surge: 0, unavailable: 1 };
        for (wanted, strategy, picture, create, delete) in [
            (2, careful, "", 2, ""),
            (2, careful, "NN", 0, ""),
            (2, careful, "OO", 1, ""),
            (2, careful, "OOn", 0, ""),
            (2, careful, "OON", 0, "O1"),
            (2, careful, "ON", 1, ""),
            (2, careful, "ONN", 0, "O0"),
            (2, bold, "OO", 0, "O1"),
            (2, bold, "O", 1, ""),
            (2, bold, "On", 0, ""),
            (2, bold, "ON", 0, "O0"),
            (2, careful, "oo", 1, "o1 o0"),
            (1, careful, "NNN", 0, "N2 N1"),
            (1, careful, "NnN", 0, "n1 N2"),
            (0, careful, "NO", 0, "N0 O1"),
            (2, Strategy::Recreate, "OO", 0, "O1 O0"),
            (2, Strategy::Recreate, "", 2, ""),
            (1, Strategy::Recreate, "NN", 0, "N1"),
        ] {
            let expected = (create, delete.to_owned());
            assert_eq!(
                step(wanted, strategy, picture),
                expected,
                "{wanted} {strategy:?} {picture}"
            );
        }
    }

    #[test]
    fn recreation_waits_for_the_last_to_end() {
        let wish = Wish { replicas: 1, strategy: Strategy::Recreate, paused: false };
        assert_eq!(plan(wish, &[], 1), Plan::default());
    }

    #[test]
    fn a_paused_rollout_only_scales() {
        let strategy = Strategy::Rolling { surge: 1, unavailable: 0 };
        let wish = Wish { replicas: 1, strategy, paused: true };
        assert_eq!(plan(wish, &replicas("O"), 0), Plan::default());
        assert_eq!(plan(wish, &replicas("OO"), 0).delete, ["O1"]);
    }

    #[test]
    fn shares_round_as_kubernetes_does() {
        let quarter = IntOrString::String("25%".to_owned());
        assert_eq!((share(&quarter, 3, true), share(&quarter, 3, false)), (1, 0));
        assert_eq!(share(&IntOrString::Int(2), 10, true), 2);
    }
}
