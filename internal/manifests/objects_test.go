package manifests

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"

	"ringway/internal/config"
)

// objects is what a set of manifests puts into a namespace.
type objects struct {
	configMaps   map[string]*core.ConfigMap
	services     map[string]*core.Service
	deployments  map[string]*apps.Deployment
	statefulSets map[string]*apps.StatefulSet
	scalers      []*autoscaling.HorizontalPodAutoscaler
	budgets      []*policy.PodDisruptionBudget
	policies     []*networking.NetworkPolicy
	monitors     []*monitoring.ServiceMonitor
}

func newObjects() *objects {
	return &objects{
		configMaps: map[string]*core.ConfigMap{}, services: map[string]*core.Service{},
		deployments: map[string]*apps.Deployment{}, statefulSets: map[string]*apps.StatefulSet{},
	}
}

// add decodes the documents of a file: each of a kind that is known here, no field that its type does not have, none twice.
func (o *objects) add(file string, b []byte) error {
	r := yaml.NewYAMLReader(newReader(b))
	for {
		doc, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		if err := o.decode(doc); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
}

func (o *objects) decode(doc []byte) error {
	var head meta.TypeMeta
	if err := strict.Unmarshal(doc, &head); err != nil {
		return err
	}
	into := func(obj any) error { return strict.UnmarshalStrict(doc, obj) }
	var err error
	switch head.APIVersion + " " + head.Kind {
	case "v1 ConfigMap":
		var m core.ConfigMap
		err = into(&m)
		o.configMaps[m.Name] = &m
	case "v1 Service":
		var s core.Service
		err = into(&s)
		o.services[s.Name] = &s
	case "apps/v1 Deployment":
		var d apps.Deployment
		err = into(&d)
		o.deployments[d.Name] = &d
	case "apps/v1 StatefulSet":
		var s apps.StatefulSet
		err = into(&s)
		o.statefulSets[s.Name] = &s
	case "autoscaling/v2 HorizontalPodAutoscaler":
		var h autoscaling.HorizontalPodAutoscaler
		err = into(&h)
		o.scalers = append(o.scalers, &h)
	case "policy/v1 PodDisruptionBudget":
		var p policy.PodDisruptionBudget
		err = into(&p)
		o.budgets = append(o.budgets, &p)
	case "networking.k8s.io/v1 NetworkPolicy":
		var n networking.NetworkPolicy
		err = into(&n)
		o.policies = append(o.policies, &n)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		var s monitoring.ServiceMonitor
		err = into(&s)
		o.monitors = append(o.monitors, &s)
	default:
		return fmt.Errorf("unknown kind %q of %q", head.Kind, head.APIVersion)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", head.Kind, err)
	}
	return nil
}

// pods are the pod templates, by the name of what makes the pods.
func (o *objects) pods() map[string]*core.PodTemplateSpec {
	list := map[string]*core.PodTemplateSpec{}
	for name, d := range o.deployments {
		list["Deployment "+name] = &d.Spec.Template
	}
	for name, s := range o.statefulSets {
		list["StatefulSet "+name] = &s.Spec.Template
	}
	return list
}

// selected are the pods that a selector selects. An empty one would select all.
func (o *objects) selected(t *testing.T, who string, s *meta.LabelSelector) (list []*core.PodTemplateSpec) {
	t.Helper()
	sel, err := meta.LabelSelectorAsSelector(s)
	if err != nil || sel.Empty() {
		t.Fatalf("%s: selector %v: %v", who, s, err)
	}
	for _, p := range o.pods() {
		if sel.Matches(labels.Set(p.Labels)) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		t.Errorf("%s selects nothing: %v", who, s)
	}
	return list
}

// check looks at what decoding can't tell: whether the objects fit together.
func (o *objects) check(t *testing.T) {
	t.Helper()
	for name, d := range o.deployments {
		o.selected(t, "Deployment "+name, d.Spec.Selector)
	}
	for name, s := range o.statefulSets {
		o.selected(t, "StatefulSet "+name, s.Spec.Selector)
		if svc := o.services[s.Spec.ServiceName]; svc == nil || svc.Spec.ClusterIP != core.ClusterIPNone {
			t.Errorf("StatefulSet %s has no headless service %q", name, s.Spec.ServiceName)
		}
	}
	for name, s := range o.services {
		for _, p := range o.selected(t, "Service "+name, &meta.LabelSelector{MatchLabels: s.Spec.Selector}) {
			for _, port := range s.Spec.Ports {
				if !hasPort(p, port.TargetPort.String()) {
					t.Errorf("Service %s: no container has port %q", name, port.TargetPort.String())
				}
			}
		}
	}
	for _, h := range o.scalers {
		d := o.deployments[h.Spec.ScaleTargetRef.Name]
		if d == nil || h.Spec.ScaleTargetRef.Kind != "Deployment" {
			t.Errorf("HorizontalPodAutoscaler %s scales nothing", h.Name)
		} else if d.Spec.Replicas != nil {
			t.Errorf("Deployment %s says how many there are, and so does its autoscaler", d.Name)
		}
	}
	for _, b := range o.budgets {
		o.selected(t, "PodDisruptionBudget "+b.Name, b.Spec.Selector)
	}
	for _, n := range o.policies {
		for _, p := range o.selected(t, "NetworkPolicy "+n.Name, &n.Spec.PodSelector) {
			for _, in := range n.Spec.Ingress {
				for _, port := range in.Ports {
					if !hasPort(p, port.Port.String()) {
						t.Errorf("NetworkPolicy %s: no container has port %q", n.Name, port.Port.String())
					}
				}
			}
		}
	}
	for _, m := range o.monitors {
		found := false
		sel, _ := meta.LabelSelectorAsSelector(&m.Spec.Selector)
		for _, s := range o.services {
			for _, port := range s.Spec.Ports {
				found = found || sel.Matches(labels.Set(s.Labels)) && port.Name == m.Spec.Endpoints[0].Port
			}
		}
		if !found {
			t.Errorf("ServiceMonitor %s: no service has port %q", m.Name, m.Spec.Endpoints[0].Port)
		}
	}
	for who, p := range o.pods() {
		o.checkPod(t, who, p)
	}
}

func hasPort(p *core.PodTemplateSpec, port string) bool {
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		for _, have := range c.Ports {
			if have.Name == port || fmt.Sprint(have.ContainerPort) == port {
				return true
			}
		}
	}
	return false
}

func (o *objects) checkPod(t *testing.T, who string, p *core.PodTemplateSpec) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range p.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && o.configMaps[v.ConfigMap.Name] == nil {
			t.Errorf("%s: no ConfigMap %q", who, v.ConfigMap.Name)
		}
	}
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		who := who + ", container " + c.Name
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s: no volume %q", who, m.Name)
			}
			if m.SubPath != "" {
				t.Errorf("%s: a file that is mounted by subPath never changes", who)
			}
		}
		for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe != nil && probe.HTTPGet != nil && !hasPort(p, probe.HTTPGet.Port.String()) {
				t.Errorf("%s: a probe asks port %q, which there isn't", who, probe.HTTPGet.Port.String())
			}
		}
		for _, e := range c.Env {
			if ref := e.ValueFrom; ref != nil && ref.ResourceFieldRef.ContainerName != c.Name {
				t.Errorf("%s: %s is of container %q", who, e.Name, ref.ResourceFieldRef.ContainerName)
			}
		}
		if sc := c.SecurityContext; sc == nil || sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation ||
			sc.Capabilities == nil || len(sc.Capabilities.Drop) != 1 || sc.Capabilities.Drop[0] != "ALL" {
			t.Errorf("%s keeps privileges: %v", who, sc)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: no request for CPU, or no limit of memory", who)
		}
		if c.Name == "ringway" {
			o.checkRingway(t, who, p, c)
		}
	}
	if run := p.Spec.SecurityContext; run == nil || run.RunAsNonRoot == nil || !*run.RunAsNonRoot {
		t.Errorf("%s may run as root", who)
	}
}

// checkRingway looks at a container of ours: its configuration fits its ports, its memory and the time that it is given to end.
func (o *objects) checkRingway(t *testing.T, who string, p *core.PodTemplateSpec, c core.Container) {
	t.Helper()
	var cfg *config.Config
	for _, v := range p.Spec.Volumes {
		if v.ConfigMap != nil {
			cfg = proxyYML(t, o.configMaps[v.ConfigMap.Name])
		}
	}
	if cfg == nil {
		t.Fatalf("%s has no configuration", who)
	}
	if !hasPort(p, portOf(cfg.Admin.Listen)) {
		t.Errorf("%s: no port for admin at %q", who, cfg.Admin.Listen)
	}
	for _, pool := range cfg.Pools {
		if !hasPort(p, portOf(pool.Listen)) {
			t.Errorf("%s: no port for pool %s at %q", who, pool.Name, pool.Listen)
		}
	}
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.ValueFrom.ResourceFieldRef.Resource
	}
	if env["GOMEMLIMIT"] != "requests.memory" || c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) >= 0 {
		t.Errorf("%s: GOMEMLIMIT is not below the limit", who)
	}
	if env["GOMAXPROCS"] != "limits.cpu" || c.Resources.Limits.Cpu().Value() < int64(cfg.Threads)+1 {
		t.Errorf("%s: %s CPUs for %d threads and the garbage collector", who, c.Resources.Limits.Cpu(), cfg.Threads)
	}
	needed := (cfg.Shutdown.DrainDelay + cfg.Shutdown.DrainTimeout).Seconds() + float64(c.Lifecycle.PreStop.Sleep.Seconds)
	if grace := p.Spec.TerminationGracePeriodSeconds; grace == nil || float64(*grace) <= needed {
		t.Errorf("%s: killed after %v s, and it needs %v s to end", who, *grace, needed)
	}
	if probe := c.StartupProbe; float64(probe.PeriodSeconds*probe.FailureThreshold) <= cfg.Start.Wait.Seconds() {
		t.Errorf("%s: killed before start.wait (%v) is over", who, cfg.Start.Wait)
	}
}
