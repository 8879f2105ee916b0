//! What is observed, told as stories: each line is one observation and what the status then says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use gatefleet_crds::{
    ConditionType, EventType, GatewayConfig, GatewayConfigStatus, ListenerProtocol, Phase, Reason,
    RouteProblem, TierSpec,
};
use gatefleet_infra::{
    CertificateObservation, Holding, Observed, PodObservation, Problem, RoutesObservation,
    TierObservation, owned_status, phase_of, recheck_after, status, transitions,
};
use gatefleet_names::Tier;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentCondition, DeploymentStatus},
        core::v1::{Pod, Service},
    },
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use proptest::prelude::*;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn fleet(generation: i64, tiers: &[(Tier, u16)]) -> GatewayConfig {
    let mut config = GatewayConfig::new("prod", Default::default());
    config.metadata.generation = Some(generation);
    for (tier, replicas) in tiers {
        let spec = Some(TierSpec { replicas: Some(*replicas), ..TierSpec::default() });
        match tier {
            Tier::NorthSouth => config.spec.north_south = spec,
            Tier::EastWest => config.spec.east_west = spec,
        }
    }
    config
}

/// One letter per pod.
fn pods(letters: &str, now: Timestamp) -> Vec<PodObservation> {
    let live = |holding| PodObservation { ready: true, holding, ..PodObservation::default() };
    letters
        .chars()
        .map(|letter| match letter {
            // Holds the generation.
            'C' => live(Holding::Current),
            // Holds an older one.
            'B' => live(Holding::Behind),
            'R' => live(Holding::Refused("listener/http: port 10000 is in use".to_owned())),
            // Starts, or hangs.
            's' => PodObservation::default(),
            'h' => PodObservation {
                trouble: Some("ErrImageNeverPull: no such binary".to_owned()),
                ..PodObservation::default()
            },
            't' => PodObservation { terminating: true, ..live(Holding::Current) },
            // Holds the generation, and lost its stream 29 or 30 seconds ago.
            'l' => PodObservation {
                streamless_since: Some(now - SignedDuration::from_secs(29)),
                ..live(Holding::Current)
            },
            'x' => PodObservation {
                streamless_since: Some(now - SignedDuration::from_secs(30)),
                ..live(Holding::Current)
            },
            letter => panic!("no pod is written {letter:?}"),
        })
        .collect()
}

/// One observation of a fleet.
struct Step<'a> {
    generation: i64,
    north_south: &'a str,
    east_west: &'a str,
    selected: bool,
}

/// Two ready proxies, and something selects them.
const CALM: Step<'static> =
    Step { generation: 1, north_south: "CC", east_west: "C", selected: true };

fn observed(step: &Step<'_>, now: Timestamp) -> Observed {
    let tier = |letters| TierObservation {
        pods: pods(letters, now),
        certificate_issued: true,
        ..TierObservation::default()
    };
    Observed {
        north_south: tier(step.north_south),
        east_west: tier(step.east_west),
        routes: RoutesObservation { selected: step.selected, ..RoutesObservation::default() },
        problems: vec![],
        ..Observed::default()
    }
}

fn find(status: &GatewayConfigStatus, wanted: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == wanted.as_str())
}

fn says(status: &GatewayConfigStatus) -> String {
    let ready = find(status, ConditionType::Ready).unwrap();
    let abnormal =
        [ConditionType::ConfigurationStale, ConditionType::Reconciling, ConditionType::Stalled];
    let ready_word = format!("{}/{}", ready.status, ready.reason);
    let mut words = vec![status.phase.unwrap().as_str(), ready_word.as_str()];
    words.extend(
        abnormal
            .iter()
            .filter(|wanted| find(status, **wanted).is_some())
            .map(|known| known.as_str()),
    );
    format!("{}: {}", words.join(" "), status.message)
}

/// Each line of a story is an observation, a minute after the one before, and what is then said.
fn tell(tiers: &[(Tier, u16)], story: &str) {
    let mut previous = None;
    let mut now = second(0);
    for line in story.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.splitn(6, '|').map(str::trim).collect();
        let [generation, north_south, east_west, selected, event, expected] = columns[..] else {
            panic!("six columns: {line}");
        };
        let step = Step {
            generation: generation.parse().unwrap(),
            north_south: north_south.trim_matches('-'),
            east_west: east_west.trim_matches('-'),
            selected: selected == "yes",
        };
        now += SignedDuration::from_mins(1);
        let mut config = fleet(step.generation, tiers);
        config.status.clone_from(&previous);
        let observed = observed(&step, now);
        let next = status(&config, &observed, now);
        assert_eq!(says(&next), expected, "{line}");
        let events: Vec<String> = transitions(previous.as_ref(), &next)
            .into_iter()
            .map(|event| format!("{:?} {}", event.event_type, event.reason))
            .collect();
        assert_eq!(events.join(", "), event, "{line}");
        // The same again, later: nothing to write, nothing to tell.
        config.status = Some(next.clone());
        let again = status(&config, &observed, now + SignedDuration::from_millis(900));
        assert_eq!(again, next, "looked at again: {line}");
        assert!(transitions(Some(&next), &again).is_empty(), "looked at again: {line}");
        previous = Some(next);
    }
}

const BOTH: &[(Tier, u16)] = &[(Tier::NorthSouth, 3), (Tier::EastWest, 2)];
const ONE: &[(Tier, u16)] = &[(Tier::NorthSouth, 2)];

#[test]
fn a_fleet_comes_up_changes_and_goes_on_listening() {
    tell(BOTH, include_str!("status/both-tiers.story"));
}

#[test]
fn a_fleet_that_nothing_selects_is_ready() {
    tell(ONE, include_str!("status/one-tier.story"));
}

#[test]
fn trouble_is_told_in_the_words_of_the_cluster() {
    tell(ONE, include_str!("status/trouble.story"));
}

#[test]
fn problems_fail_the_fleet_or_only_delay_it() {
    let calm = Step { east_west: "", ..CALM };
    let problem = |reason, message: &str| Problem { reason, message: message.to_owned() };
    let table: [(&[Problem], &str); 6] = [
        (
            &[problem(Reason::DefaultCertificateUnusable, "Secret edge/x does not exist")],
            "Failed False/DefaultCertificateUnusable Stalled: Secret edge/x does not exist",
        ),
        (
            &[problem(Reason::ApplyFailed, "Deployment: timed out")],
            "Listening False/ApplyFailed Reconciling: Deployment: timed out",
        ),
        (
            &[
                problem(Reason::ApplyFailed, "Deployment: timed out"),
                problem(Reason::NameTaken, "Service prod-north-south"),
            ],
            "Failed False/NameTaken Stalled: Service prod-north-south (and 1 more)",
        ),
        (
            &[problem(Reason::ApplyRefused, "b"), problem(Reason::ApplyRefused, "a")],
            "Failed False/ApplyRefused Stalled: a (and 1 more)",
        ),
        (
            &[problem(Reason::ApplyFailed, "late"), problem(Reason::AuthorityInvalid, "no key")],
            "Failed False/AuthorityInvalid Stalled: no key",
        ),
        (
            &[problem(Reason::SpecInvalid, "bad"), problem(Reason::SpecInvalid, "bad")],
            "Failed False/SpecInvalid Stalled: bad",
        ),
    ];
    for (problems, expected) in table {
        let mut observed = observed(&calm, second(0));
        observed.problems = problems.to_vec();
        assert_eq!(says(&status(&fleet(1, ONE), &observed, second(0))), expected);
        observed.problems.reverse();
        assert_eq!(says(&status(&fleet(1, ONE), &observed, second(0))), expected, "any order");
    }
}

#[test]
fn ingress_class_needs_a_north_south_tier() {
    let mut config = fleet(1, &[(Tier::EastWest, 1)]);
    config.spec.ingress.ingress_class = Some("nginx".to_owned());
    let calm = Step { north_south: "", ..CALM };
    let told = says(&status(&config, &observed(&calm, second(0)), second(0)));
    assert!(told.starts_with("Failed False/NorthSouthTierMissing Stalled: "), "{told}");
}

#[test]
fn certificates_are_awaited_before_pods() {
    let calm = Step { north_south: "", east_west: "", ..CALM };
    let mut observed = observed(&calm, second(0));
    observed.north_south.certificate_issued = false;
    assert_eq!(
        says(&status(&fleet(1, ONE), &observed, second(0))),
        "Pending False/CertificatesPending Reconciling: the certificate of tier north-south is being issued",
    );
}

#[test]
fn a_refused_pod_shows_why_in_the_deployment() {
    let calm = Step { north_south: "", east_west: "", ..CALM };
    let mut observed = observed(&calm, second(0));
    observed.north_south.deployment = Some(Deployment {
        status: Some(DeploymentStatus {
            conditions: Some(vec![DeploymentCondition {
                type_: "ReplicaFailure".to_owned(),
                status: "True".to_owned(),
                message: Some("exceeded quota: pods=0".to_owned()),
                ..DeploymentCondition::default()
            }]),
            ..DeploymentStatus::default()
        }),
        ..Deployment::default()
    });
    assert_eq!(
        says(&status(&fleet(1, ONE), &observed, second(0))),
        "Pending False/TierUnavailable Reconciling: tier north-south: 0 of 2 proxies ready: exceeded quota: pods=0",
    );
}

#[test]
fn transition_times_and_foreign_conditions_stay() {
    let foreign = Condition {
        type_: "example.com/Blessed".to_owned(),
        status: "Unknown".to_owned(),
        reason: "Later".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(second(7)),
    };
    let mut config = fleet(1, ONE);
    config.status = Some(GatewayConfigStatus {
        conditions: vec![foreign.clone()],
        ..GatewayConfigStatus::default()
    });
    let at = |config: &GatewayConfig, letters: &str, now| {
        let step = Step { north_south: letters, east_west: "", ..CALM };
        status(config, &observed(&step, second(now)), second(now))
    };
    let transition = |status: &GatewayConfigStatus, wanted| {
        find(status, wanted).unwrap().last_transition_time.0.as_second()
    };

    let first = at(&config, "ss", 10);
    config.status = Some(first.clone());
    let second = at(&config, "BB", 20);
    config.status = Some(second.clone());
    let third = at(&config, "CC", 30);

    for status in [&first, &second, &third] {
        assert!(status.conditions.contains(&foreign));
        assert!(!owned_status(status).conditions.contains(&foreign));
    }
    assert_eq!(transition(&first, ConditionType::Ready), 10);
    assert_eq!(transition(&second, ConditionType::Ready), 10, "False as before, other reason");
    assert_eq!(transition(&third, ConditionType::Ready), 30);
    assert_eq!(transition(&second, ConditionType::Available), 20);
    assert_eq!(transition(&third, ConditionType::Available), 20);
    assert_eq!(transition(&third, ConditionType::Accepted), 10);
    assert_eq!(third.observed_generation, Some(1));
}

#[test]
fn a_status_that_will_change_by_itself_says_when_to_look_again() {
    let now = second(100);
    for (letters, expected) in [("CC", None), ("Cl", Some(1)), ("Cx", None), ("lx", Some(1))] {
        let step = Step { north_south: letters, east_west: "", ..CALM };
        let again = recheck_after(&fleet(1, ONE), &observed(&step, now), now);
        assert_eq!(again, expected.map(SignedDuration::from_secs), "{letters}");
    }
}

#[test]
fn certificates_that_end_are_told_once_a_fortnight_before_and_at_the_end() {
    let days = |days: i64| second(0) + SignedDuration::from_hours(24 * days);
    let certificate =
        |name: &str, not_after| CertificateObservation { not_after, name: name.to_owned() };
    let mut config = fleet(1, ONE);
    let at = |config: &mut GatewayConfig, now: Timestamp| {
        let mut observed = observed(&Step { east_west: "", ..CALM }, now);
        observed.certificates =
            vec![certificate("shop/late", days(90)), certificate("shop/soon", days(30))];
        let next = status(config, &observed, now);
        let events = transitions(config.status.as_ref(), &next);
        let events = events.into_iter().map(|event| event.reason).collect::<Vec<_>>();
        let again = recheck_after(config, &observed, now);
        let told = find(&next, ConditionType::CertificateExpiring).map(|told| told.message.clone());
        assert_eq!(next.phase, Some(Phase::Listening), "nothing else changes");
        config.status = Some(next);
        (told, events, again)
    };
    let a_second_after = |wait| Some(wait + SignedDuration::from_secs(1));

    let (told, _, again) = at(&mut config, second(0));
    assert_eq!((told, again), (None, a_second_after(SignedDuration::from_hours(24 * 16))));
    let listed = config.status.as_ref().unwrap().certificates.clone();
    let listed: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.not_after.0)).collect();
    assert_eq!(listed, [("shop/soon", days(30)), ("shop/late", days(90))]);

    let (told, events, again) = at(&mut config, second(1) + SignedDuration::from_hours(24 * 16));
    let expected = "the certificate in Secret shop/soon ends at 1970-01-31T00:00:00Z: renew it";
    assert_eq!(told.as_deref(), Some(expected));
    assert_eq!(events, ["CertificateEndsSoon"]);
    assert_eq!(again, Some(SignedDuration::from_hours(24 * 14)));
    assert_eq!(at(&mut config, days(20)).1, Vec::<String>::new());
    let (told, events, _) = at(&mut config, days(30));
    assert!(told.unwrap().contains("shop/soon expired at"));
    assert_eq!(events, ["CertificateExpired"]);
    assert!(at(&mut config, days(80)).0.unwrap().ends_with("(and 1 more)"));
}

/// `kubectl wait --for=condition=Listening` looks at the condition's observedGeneration.
#[test]
fn listening_says_which_generation_it_is_about() {
    let mut config = fleet(1, ONE);
    for (generation, letters, expected) in
        [(1, "CC", 1), (2, "BB", 1), (3, "CB", 1), (3, "CC", 3), (3, "BB", 3)]
    {
        config.metadata.generation = Some(generation);
        let step = Step { generation, north_south: letters, east_west: "", ..CALM };
        let next = status(&config, &observed(&step, second(0)), second(0));
        let listening = find(&next, ConditionType::Listening).unwrap();
        assert_eq!(listening.status, "True");
        assert_eq!(listening.observed_generation, Some(expected), "{generation} {letters}");
        config.status = Some(next);
    }
}

#[test]
fn addresses_and_listeners_come_from_the_service() {
    let service = |text: &str| -> Option<Service> {
        Some(serde_json::from_value(serde_saphyr::from_str(text).unwrap()).unwrap())
    };
    let table = [
        ("{spec: {type: ClusterIP, clusterIPs: [10.0.0.1, 'fd00::1']}}", "10.0.0.1 fd00::1"),
        ("{spec: {type: ClusterIP, clusterIPs: [None]}}", ""),
        ("{spec: {type: ClusterIP}}", ""),
        ("{spec: {type: LoadBalancer, clusterIPs: [10.0.0.1]}}", ""),
        (
            "{spec: {type: LoadBalancer, clusterIPs: [10.0.0.1]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: a.example}]}}}",
            "192.0.2.1 a.example",
        ),
        ("{spec: {type: NodePort, clusterIPs: [10.0.0.1]}}", "198.51.100.1 2001:db8::1 a.node"),
        (
            "{spec: {type: NodePort, clusterIPs: [10.0.0.1], ipFamilies: [IPv4]}}",
            "198.51.100.1 a.node",
        ),
    ];
    let calm = Step { north_south: "C", ..CALM };
    for (text, expected) in table {
        let mut observed = observed(&calm, second(0));
        observed.east_west.service = service(text);
        let on = |addresses: &[&str]| PodObservation {
            node_addresses: addresses.iter().map(|one| (*one).to_owned()).collect(),
            ready: true,
            ..PodObservation::default()
        };
        let lost = PodObservation { ready: false, ..on(&["198.51.100.9"]) };
        let pods = [on(&["198.51.100.1", "a.node"]), on(&["198.51.100.1", "2001:db8::1"]), lost];
        observed.east_west.pods = pods.into();
        let status = status(&fleet(1, BOTH), &observed, second(0));
        assert_eq!(status.east_west.unwrap().addresses.join(" "), expected, "{text}");
        assert_eq!(status.address.as_deref(), expected.split(' ').next().filter(|a| !a.is_empty()));
    }

    let mut observed = observed(&calm, second(0));
    observed.north_south.service = service(
        "{spec: {clusterIPs: [10.0.0.1], ports: [{port: 80, targetPort: 10004, nodePort: 30080}, {port: 9, targetPort: 10005}]}}",
    );
    let status = status(&fleet(1, ONE), &observed, second(0)).north_south.unwrap();
    let listeners: Vec<_> = status
        .listeners
        .iter()
        .map(|listener| {
            let ports = (listener.port, listener.target_port, listener.node_port);
            (listener.name.as_str(), listener.protocol, ports)
        })
        .collect();
    let http = ("http", ListenerProtocol::Http, (80, 10_004, Some(30_080)));
    assert_eq!(listeners, [http], "443 has no port yet");
    let counts = (status.replicas, status.ready_replicas, status.acknowledged_replicas);
    assert_eq!((status.ready.as_str(), counts), ("1/2", (2, 1, 1)));
}

#[test]
fn problems_of_routes_are_sorted_and_bounded() {
    let calm = Step { east_west: "", ..CALM };
    let mut observed = observed(&calm, second(0));
    observed.routes.attached = 30;
    observed.routes.rejected = 25;
    observed.routes.problems = (0..25)
        .rev()
        .map(|number| RouteProblem {
            object: format!("Ingress shop/web-{number:02}"),
            reason: "SecretMissing".to_owned(),
            message: "create it".to_owned(),
        })
        .collect();
    let routes = status(&fleet(1, ONE), &observed, second(0)).routes.unwrap();
    assert_eq!((routes.attached, routes.rejected, routes.more_problems), (30, 25, Some(5)));
    assert_eq!(routes.problems.len(), 20);
    let RouteProblem { object, reason, message } = &routes.problems[0];
    assert_eq!([object, reason, message], ["Ingress shop/web-00", "SecretMissing", "create it"]);
}

#[test]
fn pods_say_what_is_wrong() {
    let table = [
        ("{status: {conditions: [{type: Ready, status: 'True'}]}}", "live"),
        (
            "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {conditions: [{type: Ready, status: 'True'}]}}",
            "",
        ),
        ("{}", ""),
        (
            "{status: {containerStatuses: [{name: proxy, state: {waiting: {reason: ContainerCreating}}}]}}",
            "",
        ),
        (
            "{status: {containerStatuses: [{name: proxy, state: {waiting: {reason: ErrImagePull, message: denied}}}]}}",
            "ErrImagePull: denied",
        ),
        (
            "{status: {containerStatuses: [{name: proxy, state: {terminated: {exitCode: 1, reason: Error}}}]}}",
            "exit status 1: Error",
        ),
        (
            "{status: {conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/2 nodes are available'}]}}",
            "Unschedulable: 0/2 nodes are available",
        ),
        (
            "{status: {phase: Failed, reason: SysctlForbidden, message: forbidden sysctl}}",
            "SysctlForbidden: forbidden sysctl",
        ),
    ];
    for (text, expected) in table {
        let pod: Pod = serde_json::from_value(serde_saphyr::from_str(text).unwrap()).unwrap();
        let observation = PodObservation::observe(&pod, Holding::Behind, None);
        let told = if observation.is_live() {
            "live"
        } else {
            observation.trouble.as_deref().unwrap_or("")
        };
        assert_eq!(told, expected, "{text}");
    }
}

const PROBLEMS: [Reason; 6] = [
    Reason::ApplyFailed,
    Reason::NorthSouthTierMissing,
    Reason::SpecInvalid,
    Reason::ApplyRefused,
    Reason::NameTaken,
    Reason::AuthorityInvalid,
];

prop_compose! {
    fn any_condition()(
        type_ in prop_oneof![
            prop::sample::select(ConditionType::ALL.map(|known| known.as_str().to_owned()).to_vec()),
            "[A-Z][a-z]{0,8}",
        ],
        status in prop::sample::select(vec!["True", "False", "Unknown", ""]),
        generation in prop::option::of(0_i64..4),
    ) -> Condition {
        Condition {
            type_,
            status: status.to_owned(),
            reason: "Any".to_owned(),
            message: String::new(),
            observed_generation: generation,
            last_transition_time: Time(second(0)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_conditions_have_a_phase_and_their_order_does_not_matter(
        conditions in prop::collection::vec(any_condition(), 0..10),
    ) {
        let mut reversed = conditions.clone();
        reversed.reverse();
        prop_assert_eq!(phase_of(&conditions), phase_of(&reversed));
    }

    #[test]
    fn whatever_was_before_and_is_observed_now(
        before in prop::collection::vec(any_condition(), 0..10),
        generation in 1_i64..4,
        tiers in 1_usize..4,
        north_south in "[CBRshtlx]{0,5}",
        east_west in "[CBRshtlx]{0,5}",
        selected: bool,
        certificates: bool,
        problem in prop::option::of(prop::sample::select(PROBLEMS.to_vec())),
    ) {
        let now = second(1000);
        let declared: Vec<(Tier, u16)> =
            BOTH.iter().enumerate().filter(|(bit, _)| tiers & (1 << bit) != 0).map(|(_, tier)| *tier).collect();
        let mut config = fleet(generation, &declared);
        config.status = Some(GatewayConfigStatus { conditions: before.clone(), ..GatewayConfigStatus::default() });
        let mut observed = Observed {
            routes: RoutesObservation { selected, ..RoutesObservation::default() },
            problems: problem.into_iter().map(|reason| Problem { reason, message: "m".to_owned() }).collect(),
            ..Observed::default()
        };
        observed.north_south.pods = pods(&north_south, now);
        observed.east_west.pods = pods(&east_west, now);
        observed.north_south.certificate_issued = certificates;
        observed.east_west.certificate_issued = certificates;
        let next = status(&config, &observed, now);

        // The phase is what the conditions say; Ready is the opposite of Reconciling and Stalled together.
        prop_assert_eq!(next.phase, Some(phase_of(&next.conditions)));
        let present = |wanted| find(&next, wanted).is_some();
        let ready = find(&next, ConditionType::Ready).unwrap().status == "True";
        prop_assert_eq!(!ready, present(ConditionType::Reconciling) ^ present(ConditionType::Stalled));
        prop_assert!(!ready || !(present(ConditionType::Reconciling) || present(ConditionType::Stalled)));
        prop_assert_eq!(next.phase == Some(Phase::Failed), present(ConditionType::Stalled));
        prop_assert!(next.phase != Some(Phase::Pending) || !ready);

        // Only known words, never an empty message, and one condition per type of ours.
        for condition in owned_status(&next).conditions {
            prop_assert!(Reason::ALL.iter().any(|reason| reason.as_str() == condition.reason));
            prop_assert!(!condition.message.is_empty());
            prop_assert_eq!(
                next.conditions.iter().filter(|other| other.type_ == condition.type_).count(), 1
            );
        }

        // Foreign conditions are identical and in the order they had.
        let is_foreign = |condition: &&Condition| {
            !ConditionType::ALL.iter().any(|known| known.as_str() == condition.type_)
        };
        let kept: Vec<&Condition> = next.conditions.iter().filter(is_foreign).collect();
        prop_assert_eq!(kept, before.iter().filter(is_foreign).collect::<Vec<_>>());

        // Looked at again, in whatever order the pods come: identical.
        config.status = Some(next.clone());
        observed.north_south.pods.reverse();
        prop_assert_eq!(status(&config, &observed, now + SignedDuration::from_millis(900)), next);
    }
}

#[test]
fn a_failing_fleet_warns() {
    let before =
        status(&fleet(1, ONE), &observed(&Step { east_west: "", ..CALM }, second(0)), second(0));
    let mut config = fleet(1, ONE);
    config.status = Some(before.clone());
    let mut observed = observed(&Step { east_west: "", ..CALM }, second(0));
    observed.problems = vec![Problem { reason: Reason::ApplyRefused, message: "quota".to_owned() }];
    let events = transitions(Some(&before), &status(&config, &observed, second(1)));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event_type, EventType::Warning);
    assert_eq!(events[0].message, "Listening -> Failed: quota");
}
