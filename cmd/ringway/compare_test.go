package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	var list strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&list, "user:%d\n", i)
	}
	keys := file(t, "keys", list.String())
	nutcracker := file(t, "nutcracker.yml", "cache:\n  listen: 127.0.0.1:22121\n  redis: true\n  servers: [127.0.0.1:7001:1 a, 127.0.0.1:7002:1 b]\n")
	imported := file(t, "proxy.yml", mustRun(t, "import", nutcracker))
	if out := mustRun(t, "compare", nutcracker, imported, "--keys", keys); out != "pool cache, cache: all 1000 keys are on the same servers\n" {
		t.Errorf("a file and what was imported from it: %q", out)
	}

	text, err := os.ReadFile(imported)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.yml")
	if err := os.WriteFile(other, []byte(strings.Replace(string(text), "name: a", "name: c", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "compare", nutcracker, other, "--keys", keys)
	if !errors.Is(err, errPlacedOtherwise) || !strings.Contains(out, " of 1000 keys are on other servers\n") || strings.Count(out, "-> 127.0.0.1:700") < 100 {
		t.Errorf("a server with another name: %v\n%s", err, out)
	}

	envoy := "../../internal/config/testdata/envoy.yml"
	if out := mustRun(t, "compare", envoy, file(t, "envoy.yml", mustRun(t, "import", envoy)), "--keys", keys, "--pool", "cache"); !strings.Contains(out, "all 1000 keys") {
		t.Error(out)
	}
	predixy := file(t, "predixy.conf", "StandaloneServerPool {\n  RefreshMethod fixed\n  Hash crc16\n  HashTag \"{}\"\n  Distribution modula\n"+
		"  Group shard2 {\n    + 127.0.0.1:7002\n  }\n  Group shard1 {\n    + 127.0.0.1:7001\n  }\n  Group a {\n    + 127.0.0.1:7003\n  }\n}\n")
	imported = file(t, "proxy.yml", mustRun(t, "import", predixy))
	if out := mustRun(t, "compare", predixy, imported, "--keys", keys); out != "pool predixy, predixy: all 1000 keys are on the same servers\n" {
		t.Errorf("a predixy.conf and what was imported from it: %q", out)
	}
	text, err = os.ReadFile(imported)
	if err != nil {
		t.Fatal(err)
	}
	turned := strings.NewReplacer("7001", "7002", "7002", "7001").Replace(string(text)) // another order of the same servers
	if out, err := run(t, "compare", predixy, file(t, "turned.yml", turned), "--keys", keys); !errors.Is(err, errPlacedOtherwise) || strings.Count(out, " -> ") < 600 {
		t.Errorf("groups in another order: %v\n%s", err, out)
	}

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{envoy, nutcracker, "--keys", keys}, `has no pool "many"`},
		{[]string{nutcracker, envoy, "--keys", keys, "--pool", "x=y"}, `has no pool "x"`},
		{[]string{nutcracker, imported}, `no keys given`},
		{[]string{nutcracker, imported, "--keys", file(t, "none", "")}, `there is no key in the file`},
	} {
		if out, err := run(t, append([]string{"compare"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v\n%s\nwant %s", c.args, err, out, c.want)
		}
	}
}
