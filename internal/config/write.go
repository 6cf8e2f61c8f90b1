package config

import (
	"bytes"
	"fmt"
	"io"
	"slices"
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
	if c.MaxMemory > 0 {
		put(root, "max_memory", plain(printSize(c.MaxMemory)))
	}
	listen := c.Admin.Listen
	if listen == "" {
		listen = "off"
	}
	admin := mapping("listen", plain(listen))
	if c.Admin.TLS != nil {
		put(admin, "tls", serverTLSKind.node(c.Admin.TLS))
	}
	if c.Admin.Pprof {
		put(admin, "pprof", plain("true"))
	}
	put(root, "admin", admin)
	if c.Stats != nil {
		put(root, "stats_compat", statsKind.node(c.Stats))
	}
	put(root, "log", flow(mapping("level", plain(c.Log.Level), "format", plain(c.Log.Format))))
	pools := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range c.Pools {
		pools.Content = append(pools.Content, poolNode(&c.Pools[i]))
	}
	if !c.Reload.Watch {
		put(root, "reload", flow(mapping("watch_file", plain("false"))))
	}
	usual := Default()
	putUnusual(root, "start", startOptions, &c.Start, &usual.Start)
	putUnusual(root, "shutdown", shutdownOptions, &c.Shutdown, &usual.Shutdown)
	putUnusual(root, "tracing", tracingOptions, &c.Tracing, &usual.Tracing)
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

// putUnusual puts a map of the top in, if it has something that is not as usual.
func putUnusual[O any](root *yaml.Node, name string, options []option[O], of, usual *O) {
	n := mapping()
	for _, o := range options {
		if value := o.text(of); value != o.text(usual) {
			put(n, o.name, plain(value))
		}
	}
	if len(n.Content) > 0 {
		put(root, name, flow(n))
	}
}

func heading(c *Config) string {
	var b strings.Builder
	if c.File != "" {
		what := "names of the backends place"
		if slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Distribution == "list" }) {
			what = "order of the backends places"
		}
		fmt.Fprintf(&b, "From %s. What is not said here has its default; the %s the keys.", quote(c.File), what)
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
		if o.node != nil {
			if value := o.node(p); value != nil {
				put(n, o.name, value)
			}
			continue
		}
		value := o.text(p)
		always := alwaysWritten[o.name] && len(p.Routes) == 0 && (p.Cluster == nil || !placing[o.name])
		if !always && value == o.text(&usual) || value == "" && (o.name == "hash" || o.name == "listen") {
			continue
		}
		put(n, o.name, o.scalarNode(value))
	}
	return n
}

// scalarNode quotes what is free text, and what YAML would take for something else.
func (o option[O]) scalarNode(value string) *yaml.Node {
	n := plain(value)
	if o.free {
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
