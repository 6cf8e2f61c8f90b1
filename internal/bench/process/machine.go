package process

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
)

// Machine says what the figures were taken on, and nothing that names this very machine.
func Machine() []string {
	read := func(path string) string {
		text, _ := os.ReadFile(path)
		return string(text)
	}
	cores := fmt.Sprintf("%d cores", runtime.NumCPU())
	if runtime.NumCPU() == 1 {
		cores = "1 core"
	}
	cpu := field(read("/proc/cpuinfo"), "model name")
	if cpu == "" {
		cpu = runtime.GOARCH
	}
	if strings.Contains(field(read("/proc/cpuinfo"), "flags"), "hypervisor") {
		cores += ", virtual machine"
	}
	lines := []string{cpu + ", " + cores}
	// The kernel's release may carry its builder's suffix; the number says enough.
	kernel := regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?`).FindString(read("/proc/sys/kernel/osrelease"))
	system := "Linux " + kernel
	if name := strings.Trim(field(read("/etc/os-release"), "PRETTY_NAME"), `"`); name != "" {
		system += ", " + name
	}
	lines = append(lines, system)
	if load, _, ok := strings.Cut(read("/proc/loadavg"), " "); ok {
		lines = append(lines, "load average of "+load+" when the benchmark began")
	}
	return lines
}

// field finds "name : value" or "name=value" at the head of a line.
func field(text, name string) string {
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
