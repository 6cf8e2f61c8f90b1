// Command keep adds what fuzzing has found to the inputs that are kept of each fuzz test: the shortest, 100 kB of them.
package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ringway/internal/corpus"
)

const most = 100 << 10 // bytes of a file

func main() {
	log.SetFlags(0)
	out, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		log.Fatal(err)
	}
	found := map[string][]string{} // by file
	root := filepath.Join(strings.TrimSpace(string(out)), "fuzz", "ringway")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		line, err := input(path)
		if err != nil {
			return err
		}
		dir, name := filepath.Split(filepath.Dir(path))
		pkg, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		file := filepath.Join(pkg, "testdata", "corpus", name)
		found[file] = append(found[file], line)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	for file, lines := range found {
		kept, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			log.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(kept), "\n"), "\n")...)
		if err := write(file, lines); err != nil {
			log.Fatal(err)
		}
	}
}

// input is a file of Go's, in one line.
func input(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	version, rest, _ := strings.Cut(string(text), "\n")
	if version != "go test fuzz v1" {
		return "", fmt.Errorf("%s begins with %q, not with a version that is known", path, version)
	}
	line := strings.ReplaceAll(strings.TrimRight(rest, "\n"), "\n", "\t")
	_, err = corpus.Parse(line)
	return line, err
}

func write(file string, lines []string) error {
	slices.SortFunc(lines, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	var b strings.Builder
	for _, l := range slices.Compact(lines) {
		if l == "" {
			continue
		}
		if b.Len()+len(l) >= most {
			break
		}
		b.WriteString(l + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
