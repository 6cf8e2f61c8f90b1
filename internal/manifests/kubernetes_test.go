package manifests

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"

	"ringway/internal/config"
)

const examples = "../../examples"

func newReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func portOf(listen string) string { return listen[strings.LastIndexByte(listen, ':')+1:] }

// proxyYML checks the proxy.yml of a ConfigMap; nil if it has none.
func proxyYML(t *testing.T, m *core.ConfigMap) *config.Config {
	t.Helper()
	if m == nil || m.Data["proxy.yml"] == "" {
		return nil
	}
	cfg, err := config.Parse(m.Name+"/proxy.yml", []byte(m.Data["proxy.yml"]))
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Data["proxy.yml"])
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("ConfigMap %s: %q", m.Name, cfg.Warnings)
	}
	return cfg
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, files ...string) *objects {
	t.Helper()
	o := newObjects()
	for _, f := range files {
		if err := o.add(f, read(t, f)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// Each folder is what somebody applies at once; the servers are there in any case.
func TestManifests(t *testing.T) {
	redis := filepath.Join(examples, "kubernetes/redis/redis.yaml")
	for _, dir := range []string{"redis", "sidecar", "shared"} {
		t.Run(dir, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(examples, "kubernetes", dir, "*.yaml"))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			if dir != "redis" {
				files = append(files, redis)
			}
			o := load(t, files...)
			o.check(t)
			o.checkServers(t)
		})
	}
}

// checkServers looks whether each pod of the StatefulSet is a backend, by its name in DNS, and nobody else.
func (o *objects) checkServers(t *testing.T) {
	t.Helper()
	set := o.statefulSets["redis"]
	for _, m := range o.configMaps {
		cfg := proxyYML(t, m)
		if cfg == nil {
			continue
		}
		var got, want []string
		for _, b := range cfg.Pools[0].Backends {
			got = append(got, b.Name+" "+b.Address)
		}
		for i := range int(*set.Spec.Replicas) {
			pod := set.Name + "-" + string(rune('0'+i))
			want = append(want, pod+" dns://"+pod+"."+set.Spec.ServiceName+":6379")
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("ConfigMap %s: the backends are %q, want %q", m.Name, got, want)
		}
	}
}

func TestSidecarIsNative(t *testing.T) {
	o := load(t, filepath.Join(examples, "kubernetes/sidecar/sidecar.yaml"))
	pod := o.deployments["shop"].Spec.Template.Spec
	if len(pod.InitContainers) != 1 {
		t.Fatalf("%d init containers", len(pod.InitContainers))
	}
	c := pod.InitContainers[0]
	if c.RestartPolicy == nil || *c.RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Errorf("restartPolicy is %v: it would have to end before the application starts", c.RestartPolicy)
	}
	if c.StartupProbe == nil || c.StartupProbe.HTTPGet.Path != "/readyz" {
		t.Error("the application is started before Ringway serves")
	}
	cfg := proxyYML(t, o.configMaps["shop-ringway"])
	if listen := cfg.Pools[0].Listen; !strings.HasPrefix(listen, "127.0.0.1:") {
		t.Errorf("others can reach it at %s", listen)
	}
	for _, e := range pod.Containers[0].Env {
		if e.Name == "REDIS_URL" && e.Value != "redis://"+cfg.Pools[0].Listen {
			t.Errorf("the application asks %s, and Ringway listens at %s", e.Value, cfg.Pools[0].Listen)
		}
	}
}

// A test that decodes must be able to refuse.
func TestDecodingIsStrict(t *testing.T) {
	good := string(read(t, filepath.Join(examples, "kubernetes/shared/ringway.yaml")))
	for _, change := range [][2]string{
		{"terminationGracePeriodSeconds:", "terminationGracePeriod:"},
		{"failureThreshold: 90", "failureThreshold: ninety"},
		{"maxSurge: 1,", "maxSurge: 1, maxSurge: 2,"},
		{"kind: Deployment\nmetadata", "kind: Deploymnet\nmetadata"},
		{"apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Fatalf("%q is not there", change[0])
		}
		if err := newObjects().add("bad.yaml", []byte(bad)); err == nil {
			t.Errorf("%q is accepted", change[1])
		}
	}
}
