//go:build clients

package clients

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../examples/clients"

// TestExamples runs the programs of examples/clients, as they stand.
func TestExamples(t *testing.T) {
	p := serve(t)
	inGo := func(name string) *exec.Cmd {
		cmd := exec.Command("go", "run", "./"+name, p.addr())
		cmd.Dir = absolute(t, filepath.Join(examples, "go"))
		return cmd
	}
	inPython := func(file string) *exec.Cmd { return python(filepath.Join(examples, "python", file), p.host, p.port) }
	inNode := func(file string) *exec.Cmd {
		return nodeScript(t, filepath.Join(examples, "node"), file, p.host, p.port)
	}
	inJava := func(file string) *exec.Cmd {
		return exec.Command("java", "-cp", filepath.Join(cache, "java/*"), filepath.Join(examples, "java", file), p.host, p.port)
	}
	firstProgram := []string{"get: hello\n", "pipeline: 100 replies\n", "mget: "}
	for name, example := range map[string]struct {
		cmd  *exec.Cmd
		want []string
	}{
		"go-redis":     {inGo("go-redis"), firstProgram},
		"rueidis":      {inGo("rueidis"), firstProgram},
		"redigo":       {inGo("redigo"), firstProgram},
		"redis-py":     {inPython("redis_py.py"), firstProgram},
		"asyncio":      {inPython("redis_asyncio.py"), firstProgram},
		"valkey-glide": {inPython("valkey_glide.py"), firstProgram},
		"ioredis":      {inNode("ioredis.mjs"), firstProgram},
		"node-redis":   {inNode("node-redis.mjs"), firstProgram},
		"Jedis":        {inJava("JedisExample.java"), firstProgram},
		"Lettuce":      {inJava("LettuceExample.java"), firstProgram},
		"redis-rs":     {exec.Command(cargo(t, "rust", "examples/first"), p.addr()), firstProgram},
		"redis-rb":     {exec.Command("ruby", filepath.Join(examples, "ruby/example.rb"), p.host, p.port), firstProgram},
		"phpredis":     {exec.Command("php", filepath.Join(examples, "php/example.php"), p.host, p.port), firstProgram},
		"pub/sub alerts": {inPython("alerts.py"), []string{
			"heard: alert.disk - node-3: 95 % full\n",
			"heard: alert.login - ten failed logins of 'root'\n",
			"heard: alert.disk - node-3: cleaned up\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out, errors, err := output(example.cmd)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, errors)
			}
			for _, want := range example.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("did not print %q but\n%s", want, out)
				}
			}
		})
	}
}
