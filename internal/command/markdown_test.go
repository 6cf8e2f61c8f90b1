package command

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/commands.md")

const commandsDoc = "../../docs/commands.md"

func TestMarkdownIsCurrent(t *testing.T) {
	var b bytes.Buffer
	WriteMarkdown(&b)
	if *update {
		if err := os.WriteFile(commandsDoc, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(commandsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Fatalf("docs/commands.md is not what the table says; run: go test ./internal/command -run Markdown -update")
	}
}

func TestEveryDifferenceHasItsTest(t *testing.T) {
	out, err := exec.Command("grep", "-rhoE", "--include=*_test.go", "^func Test[A-Za-z0-9_]+", "../..").Output()
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Fields(strings.ReplaceAll(string(out), "func ", ""))
	for _, d := range differences {
		found := false
		for _, name := range have {
			found = found || name == d.Test
		}
		if !found {
			t.Errorf("%s: %s is named as the test that shows the difference, and does not exist", d.Commands, d.Test)
		}
	}
}
