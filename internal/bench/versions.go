package main

import (
	"debug/buildinfo"
	"os/exec"
	"regexp"
	"strings"
)

var versionNumber = regexp.MustCompile(`v?[0-9]+\.[0-9]+[0-9A-Za-z.+-]*`)

// versions asks every program what it is.
func versions(list []*contender) []string {
	lines := []string{"redis-server " + versionOf("redis-server", "--version"), "redis-benchmark " + versionOf("redis-benchmark", "--version")}
	for _, c := range list {
		if c.path == "" {
			continue
		}
		line := c.name + " " + versionOf(c.path, c.kind.version...)
		if info, err := buildinfo.ReadFile(c.path); err == nil {
			line += " (" + info.GoVersion + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

func versionOf(path string, args ...string) string {
	said, _ := exec.Command(path, args...).CombinedOutput()
	text := string(said)
	if found := versionNumber.FindString(strings.ReplaceAll(text, path, "")); found != "" {
		return strings.TrimPrefix(found, "v")
	}
	return "of an unknown version"
}
