#!/bin/sh
# Starts four Redis servers and Ringway in front of them. Ctrl-C ends them all; nothing is kept.
set -e
cd "$(dirname "$0")"
ringway=${RINGWAY:-../../bin/ringway}
[ -x "$ringway" ] || (cd ../.. && go build -o bin/ringway ./cmd/ringway)
pids=
trap 'kill $pids 2>/dev/null; wait' EXIT
trap exit INT TERM
for port in 7111 7112 7113 7114; do
	redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --loglevel warning &
	pids="$pids $!"
done
"$ringway" -c proxy.yml &
pids="$pids $!"
wait
