package manifests

import (
	"bytes"
	"context"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"ringway/internal/config"
)

const root = "../.."

func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	ast, err := parser.Parse(bytes.NewReader(read(t, filepath.Join(root, "Dockerfile"))))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ast.Warnings {
		t.Error(w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	list, _, err := instructions.Parse(ast.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The image is the program, on nothing, as nobody.
func TestDockerfile(t *testing.T) {
	list := stages(t)
	named := map[string]bool{}
	for _, s := range list {
		named[s.Name] = true
	}
	last := list[len(list)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the image is built on %s", last.BaseName)
	}
	var user, entry, stop string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			if !named[c.From] {
				t.Errorf("COPY from stage %q, which there isn't", c.From)
			}
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = strings.Join(c.CmdLine, " ")
			if c.PrependShell {
				t.Error("the entrypoint wants a shell")
			}
		case *instructions.StopSignalCommand:
			stop = c.Signal
		case *instructions.RunCommand:
			t.Error("RUN without a shell")
		}
	}
	if user != "65532:65532" || entry != "/ringway" || stop != "SIGTERM" {
		t.Errorf("user %q, entrypoint %q, stop signal %q", user, entry, stop)
	}
}

// buildLine is what the image's first stage runs to build the program.
func buildLine(t *testing.T) string {
	t.Helper()
	for _, c := range stages(t)[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok && strings.Contains(run.CmdLine[0], "go build") {
			return run.CmdLine[0]
		}
	}
	t.Fatal("nothing is built")
	return ""
}

// What .dockerignore leaves is enough to build the program, by the very line of the Dockerfile; and the program needs no library, and starts.
func TestImageBuilds(t *testing.T) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(read(t, filepath.Join(root, ".dockerignore"))))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	src, out := t.TempDir(), filepath.Join(t.TempDir(), "ringway")
	copied := 0
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, file)
		if err != nil || d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		if skip, err := ignored.MatchesOrParentMatches(name); skip || err != nil {
			return err
		}
		copied++
		to := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, read(t, file), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Replace(buildLine(t), "/out/ringway", out, 1)
	if !strings.Contains(line, "-trimpath") || !strings.Contains(line, "CGO_ENABLED=0") {
		t.Errorf("built by %s", line)
	}
	build := exec.Command("/bin/sh", "-c", line)
	build.Dir = src
	build.Env = append(os.Environ(), "VERSION=1.2.3", "GOFLAGS=-mod=readonly")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, b)
	}
	program, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program is not static")
		}
	}
	if b, err := exec.Command(out, "version").CombinedOutput(); err != nil || string(b) != "ringway 1.2.3\n" {
		t.Errorf("%q, %v", b, err)
	}
	st, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files; the program has %.1f MB", copied, float64(st.Size())/1e6)
	if st.Size() > 30e6 {
		t.Errorf("the program has %d bytes: something large has come in", st.Size())
	}
}

func TestCompose(t *testing.T) {
	file, err := filepath.Abs(filepath.Join(examples, "docker-compose/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.Mapping{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ringway := p.Services["ringway"]
	cfg, err := config.Load(filepath.Join(filepath.Dir(file), "config/proxy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range cfg.Pools[0].Backends {
		if _, ok := p.Services[b.Name]; !ok || b.Address != "dns://"+b.Name+":6379" {
			t.Errorf("backend %s at %s is no service", b.Name, b.Address)
		}
		if _, ok := ringway.DependsOn[b.Name]; !ok {
			t.Errorf("Ringway does not wait for %s", b.Name)
		}
	}
	for _, port := range ringway.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is open to the world", port.Published)
		}
	}
	if mount := ringway.Volumes[0]; mount.Source != filepath.Join(filepath.Dir(file), "config") || mount.Target != "/etc/ringway" {
		t.Errorf("the configuration is mounted from %s at %s", mount.Source, mount.Target)
	}
	if _, err := os.Stat(filepath.Join(ringway.Build.Context, ringway.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	if end := cfg.Shutdown.DrainDelay + cfg.Shutdown.DrainTimeout; ringway.StopGracePeriod == nil || end >= time.Duration(*ringway.StopGracePeriod) {
		t.Errorf("killed after %v, and it needs %v to end", ringway.StopGracePeriod, end)
	}
}
