package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// describeMachine says what the figures were taken on, and nothing that names this very machine.
func describeMachine() []string {
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	cores := fmt.Sprintf("%d cores", runtime.NumCPU())
	if runtime.NumCPU() == 1 {
		cores = "1 core"
	}
	cpu := field1(read("/proc/cpuinfo"), "model name")
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	if strings.Contains(field1(read("/proc/cpuinfo"), "flags"), "hypervisor") {
		cores += ", virtual machine"
	}
	lines := []string{cpu + ", " + cores}
	// The kernel's release may carry its builder's suffix; the number says enough.
	kernel := regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?`).FindString(read("/proc/sys/kernel/osrelease"))
	system := "Linux " + kernel
	if name := strings.Trim(field1(read("/etc/os-release"), "PRETTY_NAME"), `"`); name != "" {
		system += ", " + name
	}
	lines = append(lines, system)
	if load, _, ok := strings.Cut(read("/proc/loadavg"), " "); ok {
		lines = append(lines, "load average of "+load+" when the benchmark began")
	}
	return lines
}

// field1 finds "name : value" or "name=value" at the head of a line.
func field1(text, name string) string {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && (rest[0] == ':' || rest[0] == '=') {
			return strings.TrimSpace(rest[1:])
		}
	}
	return ""
}

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
