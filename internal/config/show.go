package config

import (
	"bytes"

	"gopkg.in/yaml.v3"
)

// Show returns the pool as a proxy.yml has it, with what differs from the defaults, and <secret> in place of passwords.
func (p *Pool) Show() (string, error) {
	n := poolNode(p)
	hide(n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return "", err
	}
	return b.String(), nil
}

// secretNames are the options whose values nobody is shown.
var secretNames = map[string]bool{"password": true, "requirepass": true, "password_sha256": true}

func hide(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			hide(c)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if secretNames[n.Content[i].Value] {
			n.Content[i+1] = plain(hidden)
		} else {
			hide(n.Content[i+1])
		}
	}
}
