#!/bin/sh
# Installs the client libraries that the tests of this folder need, at the versions written here, into a cache folder: $1, by
# default ringway-clients in the user's own. Run again, it only does what is missing. It needs python3 with venv, Node 20 with npm,
# Java 17 with Maven, Cargo and Go; libraries for Ruby and PHP are Debian packages, which `make test-clients` installs.
set -eu
cd "$(dirname "$0")"
cache=${1:-${RINGWAY_CLIENTS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-clients}}
mkdir -p "$cache/node"

echo "python: redis-py, valkey-glide"
[ -x "$cache/python/bin/pip" ] || python3 -m venv "$cache/python"
"$cache/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt

echo "node: ioredis, node-redis"
cp node/package.json node/package-lock.json "$cache/node/"
(cd "$cache/node" && npm install --no-audit --no-fund --silent)

echo "java: Jedis, Lettuce"
if ! cmp -s java/pom.xml "$cache/java/pom.xml"; then
	rm -rf "$cache/java"
	mvn --quiet --batch-mode -f java/pom.xml dependency:copy-dependencies -DoutputDirectory="$cache/java"
	cp java/pom.xml "$cache/java/pom.xml"
fi

echo "rust: redis-rs"
(cd rust && CARGO_TARGET_DIR="$cache/rust" cargo build --bins --examples --locked --quiet)

echo "go: go-redis, rueidis, redigo"
(cd go && go mod download)
(cd ../../examples/clients/go && go mod download)
