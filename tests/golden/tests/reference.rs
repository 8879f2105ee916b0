//! `docs/reference/ingress.md` says what the code does: `UPDATE_EXPECT=1 cargo test -p gatefleet-tests-golden`.

#![expect(clippy::unwrap_used, reason = "a page that cannot be read or written must stop the test")]

use std::{fmt::Write, fs, path::Path};

use gatefleet_ir::{Reason, Severity};
use gatefleet_sources::served_annotations;

const INTRODUCTION: &str = "\
<!-- Written by `UPDATE_EXPECT=1 cargo test -p gatefleet-tests-golden`; every row is in tests/golden/cases. -->
# Ingress, as Gatefleet serves it

## Which fleet serves an Ingress

The class is the annotation `kubernetes.io/ingress.class`, else `spec.ingressClassName`, else the default IngressClass.

1. An IngressClass with `controller: gatefleet.dev/north-south` (or `gatefleet.dev/east-west`) and `parameters` that name a
   GatewayConfig: that tier of that fleet. `scope: Namespace` names the namespace; `scope: Cluster` means the operator's own.
2. Otherwise every GatewayConfig whose `spec.ingress.ingressClass` fits: `\"\"` takes all, `nginx` takes class nginx and
   Ingresses that name no class, any other value takes that class. Of several the oldest publishes its addresses.

A class of ingress-nginx (`controller: k8s.io/ingress-nginx`, which cannot be changed) is adopted when its `parameters` name a
GatewayConfig: then its Ingresses are of the north-south tier. `watchNamespaces` and `namespaceSelector` bound a fleet
to Ingresses of these namespaces, however they select it. With `publishStatus: false` the fleet serves and writes no address, so that it can run beside
the controller that it will replace; `publishAddresses` names the addresses of a load balancer that Kubernetes does not know.

## Routing

- Exact paths are asked before prefixes, longer prefixes before shorter ones. `Prefix` compares element by element;
  `ImplementationSpecific` is `Prefix`. A trailing slash of a prefix says nothing.
- `*.example.com` stands for exactly one label. A host that any Ingress names answers 404 where no path fits: it never falls
  through to a wildcard.
- `defaultBackend` is the last `/` rule of each host of its Ingress; of every host if the Ingress has no rules.
- Of two Ingresses with the same host, path and type the oldest wins, then namespace and name ascending; the other is told.
- An endpoint to which no connection can be made, or that fails five times in a row (no answer, a malformed one, 502, 503 or
  504), is avoided by every thread of a proxy: for half a second, then twice as long each time, at most 8 s. When all are, all are asked.
- A broken backend answers 503 for exactly its requests; nothing that is wrong with one object touches another one.
- A host with a `tls` entry redirects plaintext requests (308), even if its Secret is broken, except below
  `/.well-known/acme-challenge`.
- Of several certificates for one name that of the oldest Ingress with a usable one holds; beside it, of the same namespace, the oldest
  with a key of the other kind (elliptic curve, RSA), and each client gets the one that it can check. A name without a certificate gets
  `tls.defaultCertificate` of the tier.

## Where this differs from ingress-nginx

| ingress-nginx | Gatefleet |
|---|---|
| of Ingresses of equal age the last by name wins | the first by name wins |
| a canary leaks into every route of the same Service | it stands beside the rule of its own host, path and type |
| one canary for each path | several, asked in order of age; each weight is a share of all requests |
| an unreadable pattern of a canary sends the requests with that header to the primary | that canary takes nothing at all |
| `/path/` answers requests for `/path` with 301 | serves them |
| regular expressions of PCRE | of linear time: no look-around, no back-references; told if a path needs them |
| a path that is no regular expression, on a host in regex mode | keeps its literal meaning, unless its own Ingress asks for expressions |
| an unreadable annotation may drop the whole Ingress | the default holds and it is told; what guards access answers 503 |
| `from-to-www-redirect` names the port, also a default one | it names no default port |
| `load-balance: ewma` weighs endpoints by how long they took | of two endpoints, the one that is busy with fewer requests |
| a request that timed out is tried again by default | only where `proxy-next-upstream` (or its tries or timeout) is set |
| `proxy-next-upstream-tries: 0` knows no limit | 16 tries |
| `custom-http-errors` without `default-backend` asks the controller's own default backend | it is told, and errors are passed on |
| `custom-http-errors` replaces also what nginx says itself, such as 403 and 413 | what backends answer, and what the proxy says about backends |
| an origin of `cors-allow-origin` may begin with anything | it is compared as a whole; one that cannot be read stands for nobody |
| redirects are answered before access control | after it |
| of `server-alias` the first Ingress's names hold | those of every Ingress of the host; no expressions |
| an annotation that is not served is ignored | it is told; what guards access answers 503 |

";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("## Annotations\n\nUnder `nginx.ingress.kubernetes.io/`. ");
    page.push_str(
        "*503* means: the rules of an Ingress that uses it answer 503, because it guards access ",
    );
    page.push_str("(a switch or snippet only if its value does).\n\n| annotation | |\n|---|---|\n");
    for row in served_annotations() {
        let treatment = match (row.served, row.fails_closed) {
            (true, _) => "served",
            (false, true) => "not served: 503",
            (false, false) => "not served: told, and ignored",
        };
        writeln!(page, "| `{}` | {treatment} |", row.name).unwrap();
    }
    page.push_str("\n## Findings\n\nAs Events on the object, in `status.routes.problems` of the GatewayConfig, and ");
    page.push_str("from `gatefleet translate`; each message says what to do.\n\n| Reason | | means |\n|---|---|---|\n");
    for reason in Reason::ALL {
        let severity = match reason.severity() {
            Severity::Refused => "refused",
            Severity::Warning => "warning",
            Severity::Info => "note",
        };
        writeln!(page, "| `{reason}` | {severity} | {} |", reason.explanation()).unwrap();
    }
    page
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/ingress.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        page(),
        "write it with UPDATE_EXPECT=1"
    );
}
