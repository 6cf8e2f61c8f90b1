#!/bin/sh
# Installs the client libraries that the tests of this folder need, at the versions written here, into a cache folder: $1, by
# default ringway-clients in the user's own; $2 names the languages, by default all. Run again, it only does what is missing.
# It needs python3 with venv, Node 20 with npm, Java 17 with Maven, Cargo and Go; libraries for Ruby and PHP are Debian
# packages, which `make test-clients` installs.
set -eu
cd "$(dirname "$0")"
cache=${1:-${RINGWAY_CLIENTS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ringway-clients}}
languages=${2:-python node java rust go}
wants() { case " $languages " in *" $1 "*) echo "$1: $2" ;; *) return 1 ;; esac; }
mkdir -p "$cache/node"

if wants python "redis-py, valkey-glide"; then
	[ -x "$cache/python/bin/pip" ] || python3 -m venv "$cache/python"
	"$cache/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
fi

if wants node "ioredis, node-redis"; then
	cp node/package.json node/package-lock.json "$cache/node/"
	(cd "$cache/node" && npm install --no-audit --no-fund --silent)
fi

if wants java "Jedis, Lettuce" && ! cmp -s java/pom.xml "$cache/java/pom.xml"; then
	rm -rf "$cache/java"
	mvn --quiet --batch-mode -f java/pom.xml dependency:copy-dependencies -DoutputDirectory="$cache/java"
	cp java/pom.xml "$cache/java/pom.xml"
fi

if wants rust "redis-rs"; then
	(cd rust && CARGO_TARGET_DIR="$cache/rust" cargo build --bins --examples --locked --quiet)
fi

if wants go "go-redis, rueidis, redigo"; then
	(cd go && go mod download)
	(cd ../../examples/clients/go && go mod download)
fi
