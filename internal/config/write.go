package config

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// WriteYAML writes a proxy.yml that loads to the same Config, passwords in clear. What a reader of the file wants to
// see stands there always; of the rest only what differs from the default. A Config that no proxy.yml can say is an
// error, and then nothing is written.
func WriteYAML(w io.Writer, c *Config) error {
	root := mapping()
	root.HeadComment = heading(c)
	put(root, "threads", plain(strconv.Itoa(c.Threads)))
	listen := c.Admin.Listen
	if listen == "" {
		listen = "off"
	}
	put(root, "admin", mapping("listen", plain(listen)))
	put(root, "log", flow(mapping("level", plain(c.Log.Level), "format", plain(c.Log.Format))))
	pools := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range c.Pools {
		pools.Content = append(pools.Content, poolNode(&c.Pools[i]))
	}
	put(root, "pools", pools)

	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("cannot write %s as a proxy.yml: %w", c.File, err)
	}
	self := &reader{file: "proxy.yml", ringless: true}
	if _, err := self.parse(b.Bytes()); err != nil {
		return fmt.Errorf("cannot write %s as a proxy.yml, which would be refused:\n%w", c.File, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func heading(c *Config) string {
	var b strings.Builder
	if c.File != "" {
		fmt.Fprintf(&b, "From %s. What is not said here has its default; the names of the backends place the keys.", quote(c.File))
	}
	for _, warning := range c.Warnings {
		b.WriteString("\n" + strings.ReplaceAll(warning, "\n", " "))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// alwaysWritten are the options that a reader of a file looks for.
var alwaysWritten = map[string]bool{
	"name": true, "listen": true, "distribution": true, "hash": true, "hash_tag": true, "timeout": true, "connect_timeout": true,
}

func poolNode(p *Pool) *yaml.Node {
	n := mapping()
	usual := DefaultPool()
	for _, o := range poolOptions {
		value := o.text(p)
		if !alwaysWritten[o.name] && value == o.text(&usual) || o.name == "hash" && value == "" {
			continue
		}
		put(n, o.name, o.node(value))
	}
	backends := &yaml.Node{Kind: yaml.SequenceNode}
	for _, b := range p.Backends {
		backends.Content = append(backends.Content,
			flow(mapping("name", plain(b.Name), "address", plain(b.Address), "weight", plain(strconv.Itoa(b.Weight)))))
	}
	put(n, "backends", backends)
	return n
}

// node quotes what is free text, and what YAML would take for something else.
func (o option) node(value string) *yaml.Node {
	n := plain(value)
	switch o.name {
	case "hash_tag", "username", "password", "requirepass":
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// plain is text that the encoder puts in quotes when it must.
func plain(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	if text == "" || n.ShortTag() == "!!null" || n.ShortTag() == "!!merge" || strings.ContainsAny(text, "\n\r") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(pairs); i += 2 {
		put(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

func flow(n *yaml.Node) *yaml.Node {
	n.Style = yaml.FlowStyle
	return n
}
