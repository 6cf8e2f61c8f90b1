// Package clients holds the matrix test of client libraries: each, unmodified and on default options, does a wide sweep through
// a Ringway in front of three real servers, in RESP2 and in RESP3 where it speaks both. go-redis, rueidis, redis-py and phpredis do it in
// cluster mode as well, against a pool with cluster_mode. The programs of examples/clients are run too.
//
// It has one folder per language, with pinned versions. install.sh installs them all into a cache folder, outside of the
// repository; `make test-clients` runs it and then the tests, which are behind the build tag clients. A client that is not
// installed fails its test: a skipped test says nothing. These variables change what is run:
//
//	RINGWAY_BIN=path          test this program instead of building one
//	RINGWAY_CLIENTS_DIR=path  the cache folder, by default ringway-clients in the user's own
//
// A sweep is a program that is given the address (and maybe a RESP version), prints "ok NAME" or "FAIL NAME: reason" for each of
// its checks and exits with 1 if any failed. Each check becomes a subtest. A sweep that leaves out a check has failed.
package clients
