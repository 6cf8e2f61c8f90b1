//go:build clients

package clients

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// java returns a command that runs a class of classes, with the libraries of the cache folder.
func java(classes string, args ...string) *exec.Cmd {
	path := strings.Join([]string{classes, filepath.Join(cache, "java/*")}, string(filepath.ListSeparator))
	return exec.Command("java", append([]string{"-cp", path}, args...)...)
}

// compile compiles the Java files of a folder and returns where the classes are.
func compile(t *testing.T, folder string) string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(folder, "*.java"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no Java files in %s: %v", folder, err)
	}
	classes := t.TempDir()
	args := append([]string{"-d", classes, "-cp", filepath.Join(cache, "java/*")}, sources...)
	if out, err := exec.Command("javac", args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot compile %s: %v\n%s", folder, err, out)
	}
	return classes
}

func TestJedis(t *testing.T) {
	classes := compile(t, "java")
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, java(classes, append([]string{"JedisSweep", p.host, p.port}, resp...)...))
	})
}

func TestLettuce(t *testing.T) {
	classes := compile(t, "java")
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, java(classes, append([]string{"LettuceSweep", p.host, p.port}, resp...)...))
	})
}
