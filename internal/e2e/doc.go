// Package e2e holds the acceptance tests: the real program, built once, as a process in front of real servers, watched from
// outside only. What it answers is compared with one real server; what it costs is read from /proc.
//
// The tests run at a size that suits every change. These variables of the environment make them larger or repeat them:
//
//	RINGWAY_FULL=1   the sizes and the strict time limits of the acceptance list; wants a quiet machine
//	RINGWAY_TWIN=n   number of random commands of each twin test
//	RINGWAY_SEED=n   the random seed; a failed test prints the one to repeat
//	SOAK=duration    how long TestSoak takes, 20s or more
//	SOAK_OUT=folder  where TestSoak writes what it has measured
//	RINGWAY_BIN=path test this program instead of building one
//
// They need redis-server and valkey-server, on the PATH or in ringway/bin of the user's cache directory, where "make servers"
// puts the latter.
package e2e
