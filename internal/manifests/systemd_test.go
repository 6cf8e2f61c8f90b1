package manifests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"

	"ringway/internal/config"
)

// options reads a unit, and takes the last of what stands there twice.
func options(t *testing.T, file string) map[string]string {
	t.Helper()
	sections, err := unit.DeserializeSections(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for _, s := range sections {
		for _, e := range s.Entries {
			list[s.Section+"."+e.Name] = e.Value
		}
	}
	return list
}

func TestUnits(t *testing.T) {
	dir := filepath.Join(examples, "systemd")
	cfg, err := config.Load(filepath.Join(dir, "proxy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.Pools[0].ReusePort {
		t.Error("two instances can't share an address")
	}
	for file, instance := range map[string]string{"ringway.service": "ringway.service", "ringway@.service": "ringway@a.service"} {
		t.Run(file, func(t *testing.T) {
			// What the installed program would be is replaced by one that is there.
			text := strings.ReplaceAll(string(read(t, filepath.Join(dir, file))), "/usr/local/bin/ringway", "/bin/true")
			copied := filepath.Join(t.TempDir(), instance)
			if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			verify := exec.Command("systemd-analyze", "verify", copied)
			if b, err := verify.CombinedOutput(); err != nil || len(bytes.TrimSpace(b)) > 0 {
				t.Errorf("systemd-analyze verify: %v\n%s", err, b)
			}
			got := options(t, copied)
			for name, want := range map[string]string{
				"Service.Type": "notify", "Service.DynamicUser": "yes", "Service.User": "ringway", "Service.ProtectSystem": "strict",
				"Service.NoNewPrivileges": "yes", "Service.LimitNOFILE": "65536", "Service.CapabilityBoundingSet": "",
			} {
				if value, set := got[name]; !set || value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
			stop, err := time.ParseDuration(got["Service.TimeoutStopSec"])
			if needed := cfg.Shutdown.DrainDelay + cfg.Shutdown.DrainTimeout; err != nil || stop <= needed {
				t.Errorf("killed after %v (%v), and it needs %v to end", stop, err, needed)
			}
		})
	}
}

// Both units are the same but for their names: what is changed in one must be in the other.
func TestUnitsAreAlike(t *testing.T) {
	dir := filepath.Join(examples, "systemd")
	one, many := options(t, filepath.Join(dir, "ringway.service")), options(t, filepath.Join(dir, "ringway@.service"))
	delete(one, "Unit.Description")
	delete(many, "Unit.Description")
	for name, value := range one {
		if many[name] != value {
			t.Errorf("%s is %q in ringway.service, and %q in ringway@.service", name, value, many[name])
		}
	}
	if len(one) != len(many) {
		t.Errorf("%d options and %d", len(one), len(many))
	}
}
