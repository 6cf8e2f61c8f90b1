package config

import (
	"strings"
	"testing"
)

// Every option that is a secret is hidden, and nothing of a secret is in what is shown.
func TestShowHidesSecrets(t *testing.T) {
	cfg, err := Parse("proxy.yml", []byte(`
pools:
  - name: a
    listen: 127.0.0.1:7000
    password: "first secret"
    requirepass: "second secret"
    backends: [{address: "127.0.0.1:7001", username: u, password: "third secret"}]
    users:
      - {name: alice, password: ["fourth secret", "fifth secret"], rules: "~* +@all"}
  - name: b
    listen: 127.0.0.1:7002
    sentinel: {addresses: ["127.0.0.1:7003"], masters: [m], password: "sixth secret"}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		shown, err := p.Show()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(shown, " secret") || !strings.Contains(shown, hidden) {
			t.Errorf("pool %s shows a password:\n%s", p.Name, shown)
		}
		if !strings.Contains(shown, "name: "+p.Name) {
			t.Errorf("pool %s is not in what is shown:\n%s", p.Name, shown)
		}
	}
	for _, o := range poolOptions {
		if o.secret && !secretNames[o.name] {
			t.Errorf("option %s is a secret and would be shown", o.name)
		}
	}
	for _, o := range userKind.options {
		if o.secret && !secretNames[o.name] {
			t.Errorf("option %s of a user is a secret and would be shown", o.name)
		}
	}
}
