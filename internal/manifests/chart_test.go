package manifests

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	strict "sigs.k8s.io/yaml"
)

var chartDir = filepath.Join(examples, "kubernetes/chart/ringway")

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := strict.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render is helm template, with the check of the values against their schema.
func render(c *chart.Chart, release string, v map[string]any) (map[string]string, error) {
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: release, Namespace: "cache", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

const everything = `
replicas: 5
image: {repository: other/ringway, tag: "1.2", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
autoscaling: {enabled: false}
ports: [{name: redis, port: 6379}, {name: sessions, port: 6380}]
adminPort: 9000
config:
  threads: 1
  pools:
    - {name: cache, listen: ":6379", backends: [{name: a, address: "a:1"}]}
    - {name: sessions, listen: ":6380", password_file: /etc/ringway-secrets/password, backends: [{name: b, address: "b:1"}]}
drainDelaySeconds: 0
drainTimeoutSeconds: 60
secretName: redis
networkPolicy: {enabled: true}
serviceMonitor: {enabled: true, interval: 5s, labels: {release: prometheus}}
podAnnotations: {a: b}
nodeSelector: {disk: ssd}
tolerations: [{key: cache, operator: Exists}]
service: {type: LoadBalancer, annotations: {c: d}}
`

func TestChart(t *testing.T) {
	t.Run("lint", func(t *testing.T) {
		for name, text := range map[string]string{"defaults": "{}", "everything": everything} {
			for _, m := range lint.All(chartDir, values(t, text), "cache", true).Messages {
				if m.Severity > support.InfoSev {
					t.Errorf("%s: %s", name, m)
				}
			}
		}
	})
	for name, text := range map[string]string{
		"defaults":   "{}",
		"everything": everything,
		"monitored":  "serviceMonitor: {enabled: true}\nnetworkPolicy: {enabled: true}\npodDisruptionBudget: {enabled: false}",
	} {
		t.Run(name, func(t *testing.T) {
			files, err := render(loadChart(t), "ringway", values(t, text))
			if err != nil {
				t.Fatal(err)
			}
			o := newObjects()
			for _, file := range slices.Sorted(maps.Keys(files)) {
				if path.Ext(file) == ".txt" || strings.TrimSpace(files[file]) == "" {
					continue
				}
				if err := o.add(file, []byte(files[file])); err != nil {
					t.Fatalf("%v\n%s", err, files[file])
				}
			}
			if name == "everything" {
				o.monitors = nil // a load balancer does not show the admin port to the world, and so it has no service
			}
			o.check(t)
			d := o.deployments["ringway"]
			if d == nil {
				t.Fatal("no Deployment")
			}
			if name == "everything" {
				cfg := proxyYML(t, o.configMaps["ringway"])
				if len(cfg.Pools) != 2 || cfg.Admin.Listen != ":9000" || cfg.Shutdown.DrainTimeout.Seconds() != 60 || *d.Spec.Replicas != 5 ||
					d.Spec.Template.Spec.Containers[0].Image != "other/ringway:1.2" || len(o.scalers) != 0 || len(o.policies) != 1 {
					t.Errorf("not as the values say: %+v %v", cfg, d.Spec)
				}
			} else if n := *o.scalers[0].Spec.MinReplicas; n != 3 {
				t.Errorf("%d replicas", n)
			}
		})
	}
	t.Run("two releases have different names", func(t *testing.T) {
		files, err := render(loadChart(t), "shop", nil)
		if err != nil || !strings.Contains(files["ringway/templates/deployment.yaml"], "name: shop-ringway\n") {
			t.Errorf("%v\n%s", err, files["ringway/templates/deployment.yaml"])
		}
	})
}

// The schema has the mistakes found before anything is installed.
func TestChartRefusesValues(t *testing.T) {
	c := loadChart(t)
	for _, bad := range []string{
		"replica: 3",
		"replicas: 0",
		"image: {repository: ''}",
		"image: {pullPolicy: Sometimes}",
		"config: {pools: []}",
		"config: {admin: {listen: off}}",
		"config: {shutdown: {drain_timeout: 5s}}",
		"ports: []",
		"ports: [{name: Redis, port: 6379}]",
		"ports: [{name: redis, port: 70000}]",
		"adminPort: nine",
		"logLevel: loud",
		"start: {require: most}",
		"start: {wait: 60}",
		"drainTimeoutSeconds: 10s",
		"resources: {limits: {cpu: four}}",
		"autoscaling: {maxReplicas: 0}",
		"service: {type: Ingress}",
		"serviceMonitor: {interval: often}",
	} {
		if _, err := render(c, "ringway", values(t, bad)); err == nil || !strings.Contains(err.Error(), "don't meet the specifications of the schema") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
