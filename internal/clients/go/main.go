// Command go is the sweep of the Go clients: go-redis and rueidis, in ordinary and in cluster mode, and redigo, each through one address.
//
//	go run . CLIENT HOST:PORT [RESP version]
//
// It prints "ok NAME" or "FAIL NAME: reason" for each check and exits with 1 if any failed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// check is one named part of a sweep.
type check struct {
	name string
	run  func(ctx context.Context)
}

const known = "goredis, goredis-cluster, rueidis, rueidis-cluster, redigo"

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintf(os.Stderr, "usage: go run . %s HOST:PORT [2|3]\n", strings.ReplaceAll(known, ", ", "|"))
		os.Exit(2)
	}
	resp := 0
	if len(os.Args) > 3 {
		resp, _ = strconv.Atoi(os.Args[3])
	}
	var checks []check
	switch addr := os.Args[2]; os.Args[1] {
	case "goredis":
		checks = goredisSweep(addr, resp)
	case "goredis-cluster":
		checks = goredisClusterSweep(addr, resp)
	case "rueidis":
		checks = rueidisSweep(addr, resp, rueidis.ClientModeStandalone)
	case "rueidis-cluster":
		checks = rueidisSweep(addr, resp, rueidis.ClientModeCluster)
	case "redigo":
		checks = redigoSweep(addr)
	default:
		fmt.Fprintf(os.Stderr, "unknown client %q (known: %s)\n", os.Args[1], known)
		os.Exit(2)
	}
	code := 0
	for _, c := range checks {
		if err := attempt(c.run); err != nil {
			code = 1
			fmt.Printf("FAIL %s: %.500v\n", c.name, err)
		} else {
			fmt.Println("ok", c.name)
		}
	}
	os.Exit(code)
}

// attempt runs a check, whose failures are panics of type failure, and gives it a minute.
func attempt(f func(context.Context)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			switch v := recover().(type) {
			case nil:
				done <- nil
			case failure:
				done <- v
			default:
				done <- fmt.Errorf("panic: %v", v) // some of rueidis' refusals are
			}
		}()
		f(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return failure("no end within a minute")
	}
}

type failure string

func (f failure) Error() string { return string(f) }

func fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func noError(err error) {
	if err != nil {
		fail("unexpected error: %v", err)
	}
}

// equal wants what a command gave, without an error, to be want.
func equal[T any](got T, err error, want T) {
	noError(err)
	same(got, want)
}

func same[T any](got, want T) {
	if !reflect.DeepEqual(got, want) {
		fail("got %.120q, want %.120q", fmt.Sprint(got), fmt.Sprint(want))
	}
}

// sorted is equal for lists in any order.
func sorted(got []string, err error, want ...string) {
	noError(err)
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	same(got, want)
}

func keys(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = prefix + strconv.Itoa(i)
	}
	return list
}

// binaryKeys are keys that a careless protocol reader trips over, each behind the tag.
func binaryKeys(tag string) []string {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	list := []string{"", "\x00", "\r\n", "$5\r\nhello\r\n", "{", "{}x", "{\xff}y", string(all), string(bytes.Repeat([]byte("k"), 70000))}
	for i := range 256 {
		list = append(list, "bin:"+string([]byte{byte(i)}))
	}
	for i := range list {
		list[i] = tag + list[i]
	}
	return list
}

// bigValue is ten megabytes of all bytes.
func bigValue() string {
	b := make([]byte, 10<<20)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}
