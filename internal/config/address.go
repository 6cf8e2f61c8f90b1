package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

const (
	unixScheme = "unix://"
	dnsScheme  = "dns://"
)

// longestPath is what fits into a sockaddr_un on Linux, with its closing zero.
const longestPath = 107

// parseListen accepts host:port, [ip6]:port, :port (every address) and unix:///path. Port 0 lets the system choose.
func parseListen(s string) (string, error) { return parseAddress(s, 0) }

// parseBackendAddress accepts host:port, [ip6]:port, unix:///path and dns://name:port.
func parseBackendAddress(s string) (string, error) {
	name, ok := strings.CutPrefix(s, dnsScheme)
	if !ok {
		return parseServerAddress(s)
	}
	if host, _, err := net.SplitHostPort(name); err != nil || host == "" || net.ParseIP(host) != nil || strings.ContainsAny(host, ":[]%") {
		return "", fmt.Errorf("%s has no name to look up; write dns://name:port", quote(s))
	}
	if _, err := parseAddress(name, 1); err != nil {
		return "", errors.New(strings.Replace(err.Error(), quote(name), quote(s), 1))
	}
	return s, nil
}

// parseServerAddress accepts host:port, [ip6]:port and unix:///path.
func parseServerAddress(s string) (string, error) {
	if strings.HasPrefix(s, ":") && !strings.HasPrefix(s, "::") {
		return "", fmt.Errorf("%s has no host; write 127.0.0.1%s", quote(s), s)
	}
	return parseAddress(s, 1)
}

func parseAddress(s string, leastPort int) (string, error) {
	if path, ok := strings.CutPrefix(s, unixScheme); ok {
		return s, checkSocketPath(path)
	}
	const forms = "host:port, [::1]:port or unix:///path"
	switch {
	case s == "":
		return "", fmt.Errorf("is empty; write %s", forms)
	case strings.HasPrefix(s, "/"):
		return "", fmt.Errorf("%s is a path; write unix://%s", quote(s), s)
	case strings.Contains(s, "://"):
		return "", fmt.Errorf("%s is a URL; write %s", quote(s), forms)
	}
	if _, err := strconv.Atoi(s); err == nil {
		return "", fmt.Errorf("%s is a port without a host; write 127.0.0.1:%s", quote(s), s)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if host, port, _ := cutLast(s, ':'); strings.Contains(host, ":") && net.ParseIP(host) != nil {
			return "", fmt.Errorf("%s is an IPv6 address without brackets; write [%s]:%s", quote(s), host, port)
		}
		if net.ParseIP(s) != nil || !strings.Contains(s, ":") {
			return "", fmt.Errorf("%s has no port; write %s", quote(s), forms)
		}
		return "", fmt.Errorf("%s is not an address; write %s", quote(s), forms)
	}
	if strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '/' || c == '@' }) || host == "*" {
		return "", fmt.Errorf("%s has no usable host; write %s", quote(s), forms)
	}
	if n, err := strconv.ParseUint(port, 10, 32); err != nil || n > 65535 || int(n) < leastPort {
		return "", fmt.Errorf("%s has the port %s; a port is a number from %d to 65535", quote(s), quote(port), leastPort)
	}
	return s, nil
}

func checkSocketPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/") || path == "/":
		return fmt.Errorf("%s is not a full path; write unix:///path, with three slashes", quote(unixScheme+path))
	case len(path) > longestPath:
		return fmt.Errorf("has a path of %d bytes; the system allows %d", len(path), longestPath)
	case strings.ContainsFunc(path, isControl):
		return fmt.Errorf("%s has a control character in it", quote(unixScheme+path))
	}
	return nil
}

// clash says whether two checked listen addresses can't be bound by one process. A wildcard takes the port of every
// address, and port 0 is never the same twice.
func clash(a, b string) bool {
	if strings.HasPrefix(a, unixScheme) || strings.HasPrefix(b, unixScheme) {
		return a == b
	}
	hostA, portA := splitListen(a)
	hostB, portB := splitListen(b)
	return portA == portB && portA != 0 && (hostA == hostB || hostA == "" || hostB == "")
}

// splitListen gives the host in one spelling, empty for a wildcard.
func splitListen(s string) (host string, port int) {
	host, text, _ := net.SplitHostPort(s)
	port, _ = strconv.Atoi(text)
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip != nil {
		if ip.IsUnspecified() {
			return "", port
		}
		return ip.String(), port
	}
	return strings.ToLower(host), port
}

// sameAddress gives one spelling to addresses that name one server.
func sameAddress(s string) string {
	if strings.HasPrefix(s, unixScheme) {
		return s
	}
	if name, ok := strings.CutPrefix(s, dnsScheme); ok {
		return dnsScheme + sameAddress(name)
	}
	host, port := splitListen(s)
	return net.JoinHostPort(host, strconv.Itoa(port))
}
