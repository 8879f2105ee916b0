//! Matching, filters, policies and canaries: each case over HTTP/1.1 and over a multiplexed peer.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/mux.rs"]
mod mux;
mod support;

use std::{collections::HashMap, sync::Arc};

use gatefleet_http::{
    AdvertisedPorts, Body, RequestHead, Settings, TableBuilder, TlsInfo,
    compile::{compile_policy, compile_virtual_host},
};
use gatefleet_snapshot::v1;
use serde_json::{Value, json};
use support::{Backends, Harness, echo};

/// A request, as both protocols can say it.
#[derive(Clone)]
struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a str,
    tls: bool,
}

const PLAIN: Ask<'_> =
    Ask { method: "GET", target: "/", host: "a.example", headers: &[], body: "", tls: false };

fn target(target: &str) -> Ask<'_> {
    Ask { target, ..PLAIN }
}

fn headers<'a>(headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
    Ask { headers, ..PLAIN }
}

/// Status, head and body; names in lower case, without framing and ids.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: Vec<String>,
    body: Vec<String>,
}

fn lines(text: &str) -> Vec<String> {
    let passing = |line: &&str| {
        let skipped = [
            "x-request-id: ",
            "content-length: ",
            "connection: ",
            "request id: ",
            "transfer-encoding: ",
        ];
        !skipped.iter().any(|start| line.starts_with(start)) && !line.is_empty()
    };
    text.lines().filter(passing).map(str::to_owned).collect()
}

fn harness(hosts: &[Value], policies: &[(&str, Value)], tls: bool) -> Harness {
    let hosts: Vec<v1::VirtualHost> =
        hosts.iter().map(|host| serde_json::from_value(host.clone()).unwrap()).collect();
    let compile = |(name, policy): &(&str, Value)| {
        let policy: v1::Policy = serde_json::from_value(policy.clone()).unwrap();
        ((*name).to_owned(), Arc::new(compile_policy(&policy).unwrap()))
    };
    let policies: HashMap<_, _> = policies.iter().map(compile).collect();
    let backends = ["a", "b", "c"]
        .into_iter()
        .fold(Backends::default(), |all, name| all.with(name, vec![echo()]));
    let mut harness =
        Harness::with(Settings::default(), &hosts, backends.with("empty", vec![]), policies);
    harness.info.advertised = AdvertisedPorts { http: Some(80), https: Some(8443) };
    harness.info.tls = tls.then(TlsInfo::default);
    harness
}

async fn over_h1(harness: &Harness, ask: &Ask<'_>) -> Answer {
    let mut request = vec![format!("{} {} HTTP/1.1\r\nHost: {}", ask.method, ask.target, ask.host)];
    request.extend(ask.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if !ask.body.is_empty() {
        request.push(format!("Content-Length: {}", ask.body.len()));
    }
    request.push(format!("Connection: close\r\n\r\n{}", ask.body));
    let answer = harness.talk(request.join("\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let (line, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: lines(head), body: lines(body) }
}

async fn over_mux(harness: &Harness, ask: &Ask<'_>) -> Answer {
    let backends = Arc::new(mux::MuxBackends::new(&["a", "b", "c"]));
    let client = mux::serve(harness, backends);
    let mut request = RequestHead::default();
    request.set_line(ask.method.as_bytes(), ask.target.as_bytes(), ask.host.as_bytes()).unwrap();
    for (name, value) in ask.headers {
        request.fields.push(name.as_bytes(), value.as_bytes());
    }
    request.body = match ask.body.len() {
        0 => Body::Empty,
        length => Body::Length(length as u64),
    };
    let answer = mux::ask(&client, 7, request, ask.body.as_bytes()).await;
    Answer { status: answer.status, head: lines(&answer.head), body: lines(&answer.body) }
}

/// The answer, which is the same over both protocols.
async fn answer(hosts: &[Value], policies: &[(&str, Value)], ask: &Ask<'_>) -> Answer {
    let harness = harness(hosts, policies, ask.tls);
    let h1 = over_h1(&harness, ask).await;
    let multiplexed = over_mux(&harness, ask).await;
    assert_eq!(h1, multiplexed, "{} {}", ask.method, ask.target);
    // The echoed heads differ by the framing that HTTP/1.1 needs.
    let mut seen = harness.seen();
    for seen in &mut seen {
        seen.body_out = 0;
    }
    assert_eq!(seen[0], seen[1]);
    h1
}

/// A virtual host for every name with one prefix match per rule, "/" unless it says `at`.
fn host(rules: Value) -> Value {
    let mut rules = rules;
    let mut matches = Vec::new();
    for (index, rule) in rules.as_array_mut().unwrap().iter_mut().enumerate() {
        let rule = rule.as_object_mut().unwrap();
        let at = rule.remove("at").unwrap_or(json!({"prefix": "/"}));
        matches.push(json!({"rule": index, "path": at}));
        if !["forward", "redirect", "direct"].iter().any(|action| rule.contains_key(*action)) {
            rule.insert("forward".into(), to("a"));
        }
    }
    json!({"scope": "tier", "rules": rules, "matches": matches})
}

fn to(backend: &str) -> Value {
    json!({"backends": [{"weight": 1, "backend": backend}]})
}

async fn expect_upstream(rules: Value, ask: Ask<'_>, contains: &[&str], lacks: &[&str]) {
    let answer = answer(&[host(rules.clone())], &[], &ask).await;
    assert_eq!(answer.status, 200, "{rules} {answer:?}");
    let has = |line: &str| answer.body.iter().any(|found| found == line);
    for line in contains {
        assert!(has(line), "no {line:?}: {rules} {answer:?}");
    }
    for line in lacks {
        assert!(!answer.body.iter().any(|found| found.contains(line)), "{line:?}: {answer:?}");
    }
}

#[tokio::test]
async fn request_headers_are_removed_set_and_added() {
    let edit = json!({"requestHeaders": {
        "remove": ["X-Gone"],
        "set": [{"name": "X-Set", "value": "new"}],
        "add": [{"name": "X-Add", "value": "second"}],
    }});
    let sent = [("X-Gone", "1"), ("x-gone", "2"), ("X-Set", "old"), ("X-Add", "first")];
    let rules = json!([{"filters": [edit]}]);
    let contains = ["x-set: new", "x-add: first", "x-add: second"];
    expect_upstream(rules, headers(&sent), &contains, &["x-gone", "old"]).await;
    let per_backend = json!([{"forward": {"backends": [{"weight": 1, "backend": "a", "filters": [
        {"requestHeaders": {"set": [{"name": "x-set", "value": "by backend"}]}},
    ]}]}}]);
    expect_upstream(per_backend, headers(&sent), &["x-set: by backend"], &["old"]).await;
}

#[tokio::test]
async fn response_headers_are_edited() {
    let filters =
        json!([{"responseHeaders": {"set": [{"name": "X-B", "value": "1"}], "remove": ["x-c"]}}]);
    let got = answer(&[host(json!([{"filters": filters}]))], &[], &PLAIN).await;
    assert_eq!(got.head, ["x-b: 1"]);
}

#[tokio::test]
async fn urls_are_rewritten() {
    let regex = |pattern: &str, substitution: &str| json!({"regex": {"match": {"pattern": pattern, "ignoreCase": true}, "substitution": substitution}});
    for (at, rewrite, asked, sent) in [
        ("/", json!({"full": "/new"}), "/old?x=1", "/new?x=1"),
        ("/old", json!({"prefix": "/new"}), "/old/a?x", "/new/a?x"),
        ("/old", json!({"prefix": "/new"}), "/old", "/new"),
        ("/old/", json!({"prefix": "/new/"}), "/old/a/", "/new/a/"),
        ("/old", json!({"prefix": "/"}), "/old", "/"),
        ("/old", json!({"prefix": "/"}), "/old/", "/"),
        ("/old", json!({"prefix": "/"}), "/old/a", "/a"),
        ("/", json!({"prefix": "/new"}), "/a", "/new/a"),
        ("/", regex("/old(/|$)(.*)", "/$2"), "/OLD/a/b?x=1", "/a/b?x=1"),
        ("/", regex("/old(/|$)(.*)", "/$2"), "/old", "/"),
        ("/", regex("/other", "/x"), "/old", "/old"),
        ("/", regex("/(.)(.)", "/$1/$2"), "/ab", "/a/b"),
        ("/", regex("/x/(.*)", "$1"), "/x/y", "/y"),
        ("/", regex("/(.*)", "/a/$1$1/b"), "/.x", "/a/.x.x/b"),
        ("/", regex("/(.*)", "/$$1$/$$$1"), "/a", "/$1$/$a"),
        ("/", json!({"host": "inner.example:81"}), "/old", "/old"),
    ] {
        let rules = json!([{"at": {"prefix": at}, "filters": [{"urlRewrite": rewrite}]}]);
        let line = format!("GET {sent} HTTP/1.1");
        let inner = rewrite.get("host").is_some();
        let host = if inner { "host: inner.example:81" } else { "host: a.example" };
        let contains = [line.as_str(), host, "x-forwarded-host: a.example"];
        expect_upstream(rules, target(asked), &contains, &[]).await;
    }
    let escaping = json!([{"filters": [{"urlRewrite": regex("/x/(.*)", "/.$1")}]}]);
    let got = answer(&[host(escaping)], &[], &target("/x/./.a%2e/../b")).await;
    assert_eq!(got.body[0], "GET /.b HTTP/1.1");
}

#[tokio::test]
async fn a_rewrite_cannot_form_a_dot_segment() {
    let rewrite =
        json!({"regex": {"match": {"pattern": "/(.*)/(.*)"}, "substitution": "/$1$2/../secret"}});
    let rules = json!([{"filters": [{"urlRewrite": rewrite}]}]);
    expect_upstream(rules, target("/x/y"), &["GET /secret HTTP/1.1"], &[]).await;
    let above = json!({"regex": {"match": {"pattern": "/(.*)"}, "substitution": "/../$1"}});
    let got = answer(&[host(json!([{"filters": [{"urlRewrite": above}]}]))], &[], &PLAIN).await;
    assert_eq!((got.status, got.body[1].as_str()), (400, "reason: PathAboveRoot"));
}

#[tokio::test]
async fn redirects_name_the_place() {
    let tls = Ask { tls: true, ..PLAIN };
    for (redirect, ask, status, location) in [
        (json!({}), target("/x?y"), 302, "http://a.example/x?y"),
        (
            json!({"scheme": "https", "status": 308}),
            target("/x?y"),
            308,
            "https://a.example:8443/x?y",
        ),
        (json!({"scheme": "https", "port": 443}), target("/x"), 302, "https://a.example/x"),
        (json!({"scheme": "https", "port": 444}), target("/x"), 302, "https://a.example:444/x"),
        (
            json!({"scheme": "https", "trimSlash": true}),
            target("/x/"),
            302,
            "https://a.example:8443/x",
        ),
        (json!({"scheme": "https", "trimSlash": true}), target("/"), 302, "https://a.example:8443"),
        (
            json!({"scheme": "https", "trimSlash": true}),
            target("/x/?y"),
            302,
            "https://a.example:8443/x/?y",
        ),
        (json!({"host": "b.example"}), target("/x"), 302, "http://b.example/x"),
        (
            json!({"host": "b.example"}),
            Ask { target: "/x", ..tls.clone() },
            302,
            "https://b.example:8443/x",
        ),
        (json!({"full": "/new"}), target("/x?y"), 302, "http://a.example/new?y"),
        (json!({"full": "/new?z"}), target("/x?y"), 302, "http://a.example/new?z"),
        (json!({"prefix": "/new"}), target("/x/z"), 302, "http://a.example/new/x/z"),
        (json!({}), target("//evil.example/x"), 302, "http://a.example//evil.example/x"),
        (json!({"status": 301}), Ask { host: "A.example:8080", ..PLAIN }, 301, "http://a.example/"),
        (json!({}), Ask { method: "POST", body: "hello", ..PLAIN }, 302, "http://a.example/"),
    ] {
        let got = answer(&[host(json!([{"redirect": redirect}]))], &[], &ask).await;
        assert_eq!(
            (got.status, got.head.as_slice()),
            (status, &[format!("location: {location}")][..]),
            "{redirect}"
        );
    }
    let only_plaintext =
        json!([{"filters": [{"redirect": {"scheme": "https", "onlyPlaintext": true}}]}]);
    assert_eq!(answer(&[host(only_plaintext.clone())], &[], &PLAIN).await.status, 302);
    assert_eq!(answer(&[host(only_plaintext)], &[], &tls).await.status, 200);
}

#[tokio::test]
async fn locations_may_be_written_as_a_whole() {
    for (location, ask, wanted) in [
        ("https://b.example{target}", target("/x/../y?z"), "https://b.example/y?z"),
        (
            "{scheme}://{authority}/new",
            Ask { host: "A.example:8080", tls: true, ..target("/x?y") },
            "https://A.example:8080/new",
        ),
        (
            "/to?host={host}&path={path}{?}{query}",
            Ask { host: "A.example:8080", ..target("/x?y") },
            "/to?host=a.example&path=/x?y",
        ),
        ("/to{path}{?}{query}", target("/x"), "/to/x"),
    ] {
        let rules = json!([{"redirect": {"location": location}}]);
        let got = answer(&[host(rules)], &[], &ask).await;
        assert_eq!((got.status, got.head), (302, vec![format!("location: {wanted}")]));
    }
}

/// Every answer names what an allowed origin may do; the backend's word about it is replaced.
#[tokio::test]
async fn origins_may_do_what_the_rule_says() {
    let cors = |origins: Value| {
        json!([{"filters": [
            {"cors": {"allowOrigins": origins, "allowMethods": ["GET", "PUT"], "allowHeaders": ["X-A"],
                      "exposeHeaders": ["X-B"], "allowCredentials": true, "maxAgeSeconds": 60}},
            {"responseHeaders": {"add": [{"name": "access-control-max-age", "value": "1"}]}},
        ]}])
    };
    let some =
        json!(["https://a.example", "https://*.b.example:8443", "tauri://localhost", "null"]);
    for (origins, origin, allowed) in [
        (json!(["*"]), "", Some("*")),
        (json!(["https://a.example", "*"]), "https://c.example", Some("*")),
        (some.clone(), "https://a.example", Some("https://a.example")),
        (some.clone(), "https://A.Example", Some("https://A.Example")),
        (some.clone(), "https://x.b.example:8443", Some("https://x.b.example:8443")),
        (some.clone(), "tauri://localhost", Some("tauri://localhost")),
        (some.clone(), "null", Some("null")),
        (some.clone(), "", None),
        (some.clone(), "http://a.example", None),
        (some.clone(), "https://evil.example/https://a.example", None),
        (some.clone(), "https://xa.example", None),
        (some.clone(), "https://b.example:8443", None),
        (some.clone(), "https://x.y.b.example:8443", None),
        (some.clone(), "https://x.b.example", None),
        (json!([]), "https://a.example", None),
    ] {
        let sent = [("Origin", origin)];
        let sent = if origin.is_empty() { &[][..] } else { &sent[..] };
        let rules = host(cors(origins.clone()));
        let got = answer(std::slice::from_ref(&rules), &[], &headers(sent)).await;
        let said =
            got.head.iter().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
        assert_eq!((got.status, said), (200, allowed), "{origins} {origin}");
        let preflight = Ask { method: "OPTIONS", ..headers(sent) };
        let got = answer(&[rules], &[], &preflight).await;
        assert_eq!(got.status, if allowed.is_some() { 204 } else { 200 }, "{origins} {origin}");
        let listed = [
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET, PUT",
            "access-control-allow-headers: X-A",
            "access-control-expose-headers: X-B",
            "access-control-max-age: 60",
        ];
        let all = listed.iter().all(|line| got.head.iter().any(|found| found == line));
        assert_eq!(all, allowed.is_some(), "{got:?}");
        assert_eq!(got.body.is_empty(), allowed.is_some(), "{got:?}");
    }
}

#[tokio::test]
async fn origins_may_read_refusals_too() {
    let filters = json!([{"cors": {"allowOrigins": ["https://a.example"]}}]);
    let sent = [("Origin", "https://a.example")];
    for rule in [
        json!({"filters": filters, "forward": to("empty")}),
        json!({"filters": filters, "direct": {"status": 410}}),
        json!({"filters": filters, "redirect": {}}),
    ] {
        let got = answer(&[host(json!([rule]))], &[], &headers(&sent)).await;
        let has = |line: &str| got.head.iter().any(|found| found == line);
        assert!(has("access-control-allow-origin: https://a.example"), "{got:?}");
        assert!(has("vary: origin"), "{got:?}");
    }
}

#[tokio::test]
async fn direct_responses_and_broken_references() {
    let direct = json!({"status": 410, "body": "gone\n", "contentType": "text/x"});
    let got = answer(&[host(json!([{"direct": direct}]))], &[], &PLAIN).await;
    assert_eq!((got.status, got.body), (410, vec!["gone".to_owned()]));
    assert_eq!(got.head, ["content-type: text/x"]);
    let page = json!({"status": 404, "reason": "NoSuchPath"});
    let got = answer(&[host(json!([{"direct": page}]))], &[], &PLAIN).await;
    assert_eq!(got.body, ["404 Not Found", "reason: NoSuchPath"]);
    let broken = json!({"backends": [{"weight": 1, "unavailable": {"status": 500, "reason": "NoSuchService"}}]});
    let got = answer(&[host(json!([{"forward": broken}]))], &[], &PLAIN).await;
    assert_eq!((got.status, got.body[1].as_str()), (500, "reason: NoSuchService"));
    for (forward, reason) in [
        (json!({"backends": []}), "NoBackend"),
        (json!({"backends": [{"weight": 0, "backend": "a"}]}), "NoBackend"),
        (to("empty"), "NoEndpoints"),
        (to("missing"), "BackendMissing"),
    ] {
        let got = answer(&[host(json!([{"forward": forward}]))], &[], &PLAIN).await;
        assert_eq!((got.status, got.body[1].clone()), (503, format!("reason: {reason}")));
    }
}

#[tokio::test]
async fn policies_decide_before_filters_and_fail_closed() {
    let allow = |ranges: &[&str]| json!({"sourceRanges": {"allow": ranges}});
    let deny = |ranges: &[&str]| json!({"sourceRanges": {"deny": ranges}});
    let both = json!({"sourceRanges": {"allow": ["192.0.2.0/24"], "deny": ["192.0.2.7"]}});
    for (policy, status, reason) in [
        (Some(allow(&["192.0.2.0/24"])), 200, ""),
        (Some(allow(&["198.51.100.0/24", "192.0.2.7"])), 200, ""),
        (Some(allow(&["198.51.100.0/24"])), 403, "SourceNotAllowed"),
        (Some(allow(&["::/0"])), 403, "SourceNotAllowed"),
        (Some(deny(&["192.0.2.0/24"])), 403, "SourceNotAllowed"),
        (Some(deny(&["198.51.100.0/24"])), 200, ""),
        (Some(both), 403, "SourceNotAllowed"),
        (Some(json!({"failClosed": {"reason": "AuthNotServed"}})), 503, "AuthNotServed"),
        (Some(json!({"failClosed": {"status": 403}})), 403, "PolicyUnavailable"),
        (None, 503, "PolicyUnavailable"),
    ] {
        let rule = json!([{"policies": ["p"], "filters": [{"redirect": {"onlyPlaintext": true}}], "at": {"prefix": "/x"}}, {"policies": ["p"]}]);
        let policies: Vec<(&str, Value)> = policy.clone().map(|p| ("p", p)).into_iter().collect();
        let got = answer(&[host(rule.clone())], &policies, &PLAIN).await;
        assert_eq!(got.status, status, "{policy:?}");
        assert!(status == 200 || got.body[1] == format!("reason: {reason}"), "{got:?}");
        let filtered = answer(&[host(rule)], &policies, &target("/x")).await;
        assert_eq!(filtered.status, if status == 200 { 302 } else { status });
    }
}

#[tokio::test]
async fn what_guards_a_scope_is_asked_before_anything_is_routed() {
    let allow = |ranges: &[&str]| json!({"sourceRanges": {"allow": ranges}});
    let here = allow(&["192.0.2.0/24"]);
    for (scope, guards, status, reason) in [
        ("tier", vec![("p", here.clone())], 200, ""),
        ("tier", vec![("p", here.clone()), ("q", allow(&["::/0"]))], 403, "SourceNotAllowed"),
        ("tier", vec![("p", allow(&["198.51.100.0/24"]))], 403, "SourceNotAllowed"),
        ("tier", vec![("p", Value::Null)], 503, "PolicyUnavailable"),
        ("elsewhere", vec![("p", Value::Null)], 200, ""),
    ] {
        let known: Vec<(&str, Value)> =
            guards.iter().filter(|(_, policy)| !policy.is_null()).cloned().collect();
        let rule = json!([{"at": {"prefix": "/x"}}]);
        let hosts = [host(rule)];
        let harness = harness(&hosts, &known, false);
        let compiled = compile_virtual_host(&serde_json::from_value(hosts[0].clone()).unwrap());
        let compile = |policy: &Value| {
            let policy: v1::Policy = serde_json::from_value(policy.clone()).unwrap();
            Arc::new(compile_policy(&policy).unwrap())
        };
        let names = support::Names(
            known.iter().map(|(name, policy)| ((*name).to_owned(), compile(policy))).collect(),
        );
        let mut builder = TableBuilder::new(Settings::default());
        builder.add(&Arc::new(compiled.unwrap()), &names);
        for (name, _) in &guards {
            builder.guard(scope, &[(*name).to_owned()], &names);
        }
        harness.engine.install(builder.build());
        for target in ["/x", "/no/route"] {
            let status = if status == 200 && target != "/x" { 404 } else { status };
            let ask = self::target(target);
            for got in [over_h1(&harness, &ask).await, over_mux(&harness, &ask).await] {
                assert_eq!(got.status, status, "{scope} {guards:?} {target}");
                let told = reason.is_empty() || got.body[1] == format!("reason: {reason}");
                assert!(told, "{got:?}");
            }
        }
    }
}

#[tokio::test]
async fn hosts_fall_through_to_less_specific_ones() {
    let virtual_host = |kind: &str, name: &str, backend: &str, path: &str| {
        let mut value = host(json!([{"at": {"exact": path}, "forward": to(backend)}]));
        value["hostname"] = json!({"kind": kind, "name": name});
        value
    };
    let hosts = [
        virtual_host("EXACT", "x.a.example", "a", "/exact"),
        virtual_host("ONE_LABEL", "a.example", "b", "/wild"),
        virtual_host("ANY", "", "c", "/any"),
    ];
    for (host, path, backend) in [
        ("x.a.example", "/exact", "a"),
        ("X.A.EXAMPLE.:80", "/exact", "a"),
        ("x.a.example", "/wild", "b"),
        ("x.a.example", "/any", "c"),
        ("y.a.example", "/wild", "b"),
        ("y.a.example", "/exact", ""),
        ("a.b.a.example", "/wild", ""),
        ("other", "/any", "c"),
    ] {
        let harness = harness(&hosts, &[], false);
        let got = over_h1(&harness, &Ask { host, target: path, ..PLAIN }).await;
        let seen = harness.seen();
        assert_eq!(seen[0].backend, backend, "{host} {path} {got:?}");
        assert_eq!(got.status, if backend.is_empty() { 404 } else { 200 });
    }
}

#[tokio::test]
async fn bodies_and_trailers_cross_between_protocols() {
    let post = Ask { method: "POST", body: "hello, multiplexed world", ..PLAIN };
    let got = answer(&[host(json!([{}]))], &[], &post).await;
    assert!(got.body.iter().any(|line| line.ends_with("hello, multiplexed world")), "{got:?}");
    let harness = harness(&[host(json!([{}]))], &[], false);
    let client = mux::serve(&harness, Arc::new(mux::MuxBackends::new(&["a"])));
    let streams = (0..50_u32).map(|id| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut request = RequestHead::default();
            request.set_line(b"PUT", format!("/{id}").as_bytes(), b"a").unwrap();
            request.body = Body::Stream;
            let body = format!("body of {id} ").repeat(20);
            let got = mux::ask(&client, id, request, body.as_bytes()).await;
            assert!(got.body.starts_with(&format!("PUT /{id} ")) && got.body.ends_with(&body));
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
    assert_eq!(harness.seen().len(), 50);
}

/// Which of primary "a" and canary "b" gets the request. Weights are 0 or everything, so nothing is left to chance.
#[tokio::test]
async fn canaries_decide_as_nginx_does() {
    let by_word = json!({"header": "stage"});
    let by_value = json!({"header": "stage", "headerValue": "gray"});
    let by_pattern = json!({"header": "stage", "headerPattern": {"pattern": "^gr[ae]y"}});
    let by_cookie = json!({"cookie": "stage"});
    let all = json!({"header": "stage", "cookie": "stage", "weight": 100});
    let value_and_rest =
        json!({"header": "stage", "headerValue": "gray", "cookie": "stage", "weight": 100});
    for (alternative, sent, backend) in [
        (&by_word, &[][..], "a"),
        (&by_word, &[("Stage", "always")], "b"),
        (&by_word, &[("stage", "never")], "a"),
        (&by_word, &[("stage", "Always")], "a"),
        (&by_word, &[("stage", "gray")], "a"),
        (&by_value, &[("stage", "gray")], "b"),
        (&by_value, &[("stage", "Gray")], "a"),
        (&by_value, &[("stage", "always")], "a"),
        (&by_pattern, &[("stage", "grey-2")], "b"),
        (&by_pattern, &[("stage", "a grey")], "a"),
        (&by_pattern, &[("stage", "always")], "a"),
        (&by_cookie, &[("cookie", "stage=always")], "b"),
        (&by_cookie, &[("cookie", "x=1; stage=always; y=2")], "b"),
        (&by_cookie, &[("cookie", "xstage=always")], "a"),
        (&by_cookie, &[("cookie", "stage=never")], "a"),
        (&by_cookie, &[("cookie", "stage=other")], "a"),
        (&all, &[], "b"),
        (&all, &[("stage", "never"), ("cookie", "stage=always")], "a"),
        (&all, &[("stage", "other"), ("cookie", "stage=never")], "a"),
        (&all, &[("stage", "always"), ("cookie", "stage=never")], "b"),
        (&all, &[("stage", "other"), ("cookie", "stage=other")], "b"),
        (&value_and_rest, &[("stage", "never")], "b"),
        (&value_and_rest, &[("stage", "never"), ("cookie", "stage=never")], "a"),
        (&json!({"weight": 0}), &[], "a"),
        (&json!({"weight": 100, "weightTotal": 10}), &[], "b"),
        (&json!({"weight": 1000, "weightTotal": 1000}), &[], "b"),
    ] {
        let mut alternative = alternative.clone();
        alternative["backends"] = json!([{"weight": 1, "backend": "b"}]);
        let mut forward = to("a");
        forward["alternatives"] = json!([alternative]);
        let harness = harness(&[host(json!([{"forward": forward}]))], &[], false);
        over_h1(&harness, &headers(sent)).await;
        assert_eq!(harness.seen()[0].backend, backend, "{alternative} {sent:?}");
    }
}

#[tokio::test]
async fn a_canary_without_endpoints_takes_nothing_and_none_saves_a_dead_primary() {
    for (primary, canaries, backend, status) in [
        ("a", &["empty"][..], "a", 200),
        ("a", &["empty", "b"], "b", 200),
        ("a", &["missing", "b"], "b", 200),
        ("a", &["b", "c"], "b", 200),
        ("empty", &["b"], "empty", 503),
    ] {
        let alternatives: Vec<Value> = canaries
            .iter()
            .map(|name| json!({"weight": 100, "backends": [{"weight": 1, "backend": name}]}))
            .collect();
        let mut forward = to(primary);
        forward["alternatives"] = json!(alternatives);
        let harness = harness(&[host(json!([{"forward": forward}]))], &[], false);
        let got = over_h1(&harness, &PLAIN).await;
        assert_eq!(
            (harness.seen()[0].backend.as_str(), got.status),
            (backend, status),
            "{canaries:?}"
        );
    }
}

#[tokio::test]
async fn several_canaries_have_shares_of_all_requests() {
    let canary = |name: &str, weight: u32| json!({"weight": weight, "backends": [{"weight": 1, "backend": name}]});
    let mut forward = to("a");
    forward["alternatives"] = json!([canary("b", 50), canary("c", 50)]);
    let harness = harness(&[host(json!([{"forward": forward}]))], &[], false);
    for _ in 0..200 {
        over_h1(&harness, &PLAIN).await;
    }
    let seen = harness.seen();
    let count = |name: &str| seen.iter().filter(|seen| seen.backend == name).count();
    assert_eq!((count("a"), count("b") + count("c")), (0, 200));
    let mut refused = canary("b", 100);
    refused["header"] = "stage".into();
    let mut forward = to("a");
    forward["alternatives"] = json!([refused, canary("c", 50)]);
    let kept = self::harness(&[host(json!([{"forward": forward}]))], &[], false);
    for _ in 0..20 {
        over_h1(&kept, &headers(&[("stage", "never")])).await;
    }
    assert!(kept.seen().iter().all(|seen| seen.backend == "a"), "{:?}", kept.seen());
    assert!((60..=140).contains(&count("b")), "{}", count("b"));
}

#[tokio::test]
async fn weights_share_requests() {
    let forward = json!({"backends": [
        {"weight": 1, "backend": "a"}, {"weight": 0, "backend": "c"}, {"weight": 3, "backend": "b"},
    ]});
    let harness = harness(&[host(json!([{"forward": forward}]))], &[], false);
    let mut client = harness.connect();
    for _ in 0..400 {
        use tokio::io::AsyncWriteExt;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        support::read_to(&mut client, "x-forwarded-port: 80\r\n\r\n").await;
    }
    let seen = harness.seen();
    let count = |name: &str| seen.iter().filter(|seen| seen.backend == name).count();
    assert_eq!((count("a") + count("b"), count("c")), (400, 0));
    assert!((60..=140).contains(&count("a")), "{}", count("a"));
}

/// A rule with one filter.
#[expect(clippy::needless_pass_by_value, reason = "json! stands in place")]
fn filter(filter: Value) -> Value {
    json!([{"filters": [filter]}])
}

/// Rules, the field that is wrong, a word of the problem.
type Refused = Vec<(Value, &'static str, &'static str)>;

fn refused_filters() -> Refused {
    vec![
        (
            filter(json!({"cors": {"allowOrigins": ["a.example"]}})),
            "rules[0].filters[0].cors.allow_origins[0]",
            "no origin",
        ),
        (
            filter(json!({"cors": {"allowOrigins": ["https://a.*"]}})),
            "rules[0].filters[0].cors.allow_origins[0]",
            "no origin",
        ),
        (
            filter(json!({"cors": {"allowHeaders": ["a b"]}})),
            "rules[0].filters[0].cors.allow_headers[0]",
            "a b",
        ),
        (filter(json!({})), "rules[0].filters[0].run a filter of unknown kind", "cannot"),
        (
            filter(json!({"requestHeaders": {"set": [{"name": "Connection", "value": "x"}]}})),
            "rules[0].filters[0].request_headers.set[0].name",
            "proxy itself",
        ),
        (
            filter(json!({"requestHeaders": {"add": [{"name": "a b", "value": "x"}]}})),
            "rules[0].filters[0].request_headers.add[0].name",
            "a b",
        ),
        (
            filter(json!({"requestHeaders": {"remove": ["host"]}})),
            "rules[0].filters[0].request_headers.remove[0].name",
            "Host",
        ),
        (
            filter(json!({"responseHeaders": {"set": [{"name": "x", "value": "a\r\nb"}]}})),
            "rules[0].filters[0].response_headers.set[0]",
            "control",
        ),
    ]
}

fn refused_rewrites() -> Refused {
    vec![
        (
            filter(json!({"urlRewrite": {"full": "x"}})),
            "rules[0].filters[0].url_rewrite.full",
            "no path",
        ),
        (
            filter(json!({"urlRewrite": {"regex": {"match": {"pattern": "("}}}})),
            "rules[0].filters[0].url_rewrite.regex.match.pattern",
            "unclosed",
        ),
        (
            filter(
                json!({"urlRewrite": {"regex": {"match": {"pattern": "(a)"}, "substitution": "$2"}}}),
            ),
            "rules[0].filters[0].url_rewrite.regex.substitution",
            "$2",
        ),
        (
            json!([{"at": {"exact": "/x"}, "filters": [{"urlRewrite": {"prefix": "/y"}}]}]),
            "rules[0].filters[0].url_rewrite.prefix",
            "without one",
        ),
    ]
}

fn refused_limits() -> Refused {
    vec![
        (
            json!([{"timeouts": {"keepAliveMs": 5}}]),
            "rules[0].timeouts.keep_alive_ms",
            "connection",
        ),
        (json!([{"retry": {"statuses": [200]}}]), "rules[0].retry.statuses[0]", "200"),
        (
            json!([{"forward": {"backends": [{"weight": 1}]}}]),
            "rules[0].forward.backends[0]",
            "target",
        ),
        (
            json!([{"at": {"regex": {"pattern": "(?=x)"}}}]),
            "matches[0].path.regex.pattern",
            "look-around",
        ),
    ]
}

fn refused_rules() -> Refused {
    vec![
        (json!([{"direct": {"status": 99}}]), "rules[0].direct.status", "99"),
        (
            json!([{"direct": {"status": 200, "reason": "a b"}}]),
            "rules[0].direct.reason",
            "CamelCase",
        ),
        (json!([{"redirect": {"scheme": "ftp"}}]), "rules[0].redirect.scheme", "ftp"),
        (
            json!([{"redirect": {"onlyPlaintext": true}}]),
            "rules[0].redirect.only_plaintext",
            "scheme",
        ),
        (json!([{"redirect": {"host": "a b"}}]), "rules[0].redirect.host", "a b"),
        (json!([{"redirect": {"location": "a b"}}]), "rules[0].redirect.location", "a b"),
        (json!([{"redirect": {"location": "/{x"}}]), "rules[0].redirect.location", "{x}"),
        (json!([{"redirect": {"location": ""}}]), "rules[0].redirect.location", "empty"),
    ]
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    for (rules, field, says) in
        [refused_filters(), refused_rewrites(), refused_limits(), refused_rules()].concat()
    {
        let source: v1::VirtualHost = serde_json::from_value(host(rules.clone())).unwrap();
        let error = compile_virtual_host(&source).unwrap_err();
        assert_eq!(error.field, field, "{rules}");
        assert!(error.problem.contains(says), "{error}");
        assert!(!error.remedy.is_empty(), "{error}");
    }
}
