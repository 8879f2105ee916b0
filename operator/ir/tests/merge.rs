//! Precedence, and that the order of speaking does not matter.

use gatefleet_ir::{
    Action, Claim, Claimant, Direct, HostSettings, Language, Match, PathMatch, RegexForm, Rule,
    RuleClaim, RuleTimeouts, TlsRedirect, ValueCondition, ValueMatch, merge,
};
use gatefleet_names::{HostPattern, Kind, ObjectKey};
use proptest::prelude::*;

fn rule(name: &str, said: Match, text: &str) -> RuleClaim {
    RuleClaim {
        field: name.to_owned(),
        matches: vec![said],
        rule: Rule {
            name: name.to_owned(),
            filters: Vec::new(),
            policies: Vec::new(),
            action: Action::Direct(Direct { status: 200, reason: "Test" }),
            timeouts: RuleTimeouts::default(),
            retry: None,
            errors: None,
            body_bytes: 0,
        },
        tls_redirect: TlsRedirect::IfHostHasTls { trim_slash: true },
        regex_form: Some(RegexForm { text: text.to_owned(), pattern: text.to_owned() }),
        fallback: false,
    }
}

fn claim(name: &str, created: i64, language: Language, rules: Vec<RuleClaim>) -> Claim {
    Claim {
        claimant: Claimant {
            created,
            object: ObjectKey::new(Kind::Ingress, "shop", name),
            generation: 1,
        },
        language,
        owns_host: true,
        settings: HostSettings::default(),
        rules,
        alternatives: Vec::new(),
        root: None,
        side_hosts: Vec::new(),
    }
}

fn host() -> HostPattern {
    HostPattern::Exact("shop.example".parse().unwrap_or_else(|_| unreachable!()))
}

/// The names of the rules in the order in which they are asked.
fn order(claims: &[Claim]) -> Vec<String> {
    let merged = merge(&host(), claims).host;
    let merged = merged
        .iter()
        .flat_map(|host| host.matches.iter().map(|(rule, _)| host.rules[*rule].name.clone()));
    merged.collect()
}

fn header(name: &str) -> ValueMatch {
    ValueMatch { name: name.to_owned(), value: ValueCondition::Present, invert: false }
}

#[test]
fn gateway_api_precedence() {
    let prefix = |text: &str| Match::path(PathMatch::prefix(text));
    let rules = vec![
        rule("shorter prefix", prefix("/a"), "/a"),
        rule("longer prefix", prefix("/a/b"), "/a/b"),
        rule("one header", Match { headers: vec![header("x")], ..prefix("/a") }, "/a"),
        rule(
            "two headers",
            Match { headers: vec![header("x"), header("y")], ..prefix("/a") },
            "/a",
        ),
        rule("method", Match { method: Some("GET".to_owned()), ..prefix("/a") }, "/a"),
        rule("query", Match { query: vec![header("q")], ..prefix("/a") }, "/a"),
        rule("exact", Match::path(PathMatch::Exact("/a".to_owned())), "/a"),
    ];
    let expected = [
        "exact",
        "longer prefix",
        "method",
        "two headers",
        "one header",
        "query",
        "shorter prefix",
    ];
    assert_eq!(order(&[claim("web", 1, Language::GatewayApi, rules)]), expected);
}

#[test]
fn the_older_object_wins_and_a_gateway_host_falls_through() {
    let said = Match::path(PathMatch::prefix("/a"));
    let one = |name, created| {
        claim(name, created, Language::GatewayApi, vec![rule(name, said.clone(), "/a")])
    };
    let claims = [one("b", 2), one("c", 1), one("a", 2)];
    assert_eq!(order(&claims), ["c"]);
    assert_eq!(merge(&host(), &claims).diagnostics.len(), 2);
}

#[test]
fn a_host_of_ingresses_ends_in_not_found() {
    let said = |text: &str| Match::path(PathMatch::prefix(text));
    let one = |text: &str| claim("a", 1, Language::Ingress, vec![rule("a", said(text), text)]);
    assert_eq!(order(&[one("/a")]), ["a", "not-found"]);
    assert_eq!(order(&[one("/")]), ["a"]);
}

prop_compose! {
    fn any_claim()(
        name in "[a-d]", created in 0_i64..3, gateway in any::<bool>(), tls in any::<bool>(), regex in any::<bool>(),
        owns_host in any::<bool>(),
        paths in prop::collection::vec(("/[ab]{0,2}", any::<bool>(), any::<bool>()), 0..4),
    ) -> Claim {
        let rules = paths.iter().map(|(text, exact, fallback)| {
            let path = if *exact { PathMatch::Exact(text.clone()) } else { PathMatch::prefix(text) };
            RuleClaim { fallback: *fallback, ..rule(text, Match::path(path), text) }
        });
        let language = if gateway { Language::GatewayApi } else { Language::Ingress };
        let settings = HostSettings { tls, regex };
        Claim { settings, owns_host, ..claim(&name, created, language, rules.collect()) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_claims_does_not_matter(
        (claims, shuffled) in prop::collection::btree_map("[a-f]", any_claim(), 0..5)
            .prop_map(|claims| claims.into_iter().map(|(name, mut claim)| {
                // One claim per object and hostname.
                claim.claimant.object.name = name;
                claim
            }).collect::<Vec<_>>())
            .prop_flat_map(|claims| (Just(claims.clone()), Just(claims).prop_shuffle()))
    ) {
        prop_assert_eq!(merge(&host(), &claims), merge(&host(), &shuffled));
    }

    #[test]
    fn every_rule_is_asked_or_its_object_is_told(claims in prop::collection::vec(any_claim(), 1..4)) {
        let merged = merge(&host(), &claims);
        let Some(host) = merged.host else { return Ok(()) };
        for claim in &claims {
            for said in claim.rules.iter().filter(|said| !said.fallback) {
                let asked = host.rules.iter().any(|rule| rule.name == said.rule.name);
                let told = merged.diagnostics.iter().any(|one| one.field == said.field);
                prop_assert!(asked || told, "{} of {}", said.field, claim.claimant.object);
            }
        }
    }
}
