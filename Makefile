# The one command surface: `make` prints it, .ci/run calls the same targets.
TARGET := $(or $(CARGO_TARGET_DIR),target)
CACHE  := $(or $(GATEFLEET_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gatefleet)
DENY   := cargo-deny-0.20.2
DIR    ?= examples/quickstart
# Whole-workspace builds, so that dependencies keep the features that `make test` built them with.
KUBE       := gatefleet-tests-apiserver/kube,gatefleet-tests-scenario/kube,gatefleet-tests-e2e/kube
# How the programs are shipped: jemalloc keeps large TLS and HTTP/2 bodies cheap.
SHIPPED    := gatefleet/jemalloc,gatefleet-proxy/jemalloc
KUBE_TESTS := check contract differential refused stories kubectl peers leader

.PHONY: help local images test e2e-smoke test-kube test-readme test-h2spec lint deny crds golden fuzz bench
help: ## Print this list.
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

local: ## Build everything and run the quickstart (DIR=... for another directory) without a cluster.
	cargo build --release
	$(TARGET)/release/gatefleet local $(DIR)

images: ## Write OCI archives of operator, proxy and echo to TARGET/images (as shipped: some 15 minutes; PROFILE=release takes 5).
	tests/kube/images $(TARGET)/images $(or $(PROFILE),dist)

test: ## Every test that needs cargo alone.
	cargo test --workspace

test-kube: ## The contract, scenario and kubectl tests against a real kube-apiserver (needs Go >= 1.26).
	tests/kube/build
	cargo test --workspace --features $(KUBE) $(addprefix --test ,$(KUBE_TESTS))

e2e-smoke: ## Our images on two real nodes (root, Go >= 1.26, containerd, runc: see tests/kube/up; the first build takes some minutes).
	tests/kube/build nodes
	cargo test --workspace --features gatefleet-tests-e2e/cluster --test cluster -- --test-threads 1

test-readme: ## Every command of the README as it stands there (a release build: some minutes).
	cargo test --workspace --features $(KUBE) --test readme

test-h2spec: ## Every case of h2spec against the proxy, over TLS and cleartext (needs Go >= 1.26).
	cargo test --workspace --test h2spec -- --ignored --nocapture

lint: ## Format and clippy, warnings denied.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

deny: $(CACHE)/$(DENY)/bin/cargo-deny ## Licences, bans and sources of the dependencies.
	$(CACHE)/$(DENY)/bin/cargo-deny check bans licenses sources

$(CACHE)/$(DENY)/bin/cargo-deny:
	cargo install --locked --root $(CACHE)/$(DENY) --version $(DENY:cargo-deny-%=%) cargo-deny

crds: ## Write the CRD's YAML and the generated references anew.
	UPDATE_EXPECT=1 cargo test -p gatefleet-crds -p gatefleet-infra -p gatefleet-controllers -p gatefleet

golden: ## Write the golden cases' expectations anew (then read the diff).
	UPDATE_EXPECT=1 cargo test -p gatefleet-tests-golden

# What cargo-fuzz passes to a nightly compiler, without the address sanitizer: there is no unsafe code to watch.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
FUZZ_TARGETS := request_head response_head chunked_body
RUNS ?= 1000000

fuzz: ## Every fuzz target for RUNS executions (1,000,000), from the committed corpus; prints coverage (needs a C++ compiler).
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --release --manifest-path fuzz/Cargo.toml \
	  --target $(shell rustc -vV | sed -n 's/^host: //p') --target-dir $(TARGET)/fuzz
	for target in $(FUZZ_TARGETS); do mkdir -p $(TARGET)/fuzz/corpus/$$target && \
	  $(TARGET)/fuzz/*/release/$$target -runs=$(RUNS) -max_len=16384 -timeout=5 -print_final_stats=1 \
	  -artifact_prefix=$(TARGET)/fuzz/$$target- $(TARGET)/fuzz/corpus/$$target fuzz/corpus/$$target || exit 1; done

bench: ## Start-to-Listening, change-to-served P50/P99 and requests per CPU second beside nginx, with the binaries that are shipped.
	cargo build --profile dist --features $(SHIPPED)
	GATEFLEET_PROGRAMS=$(abspath $(TARGET))/dist cargo test --workspace --test bench --test throughput -- --ignored --nocapture
