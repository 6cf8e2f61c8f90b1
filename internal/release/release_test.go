package release

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	const revision = "592ee85c0ffee592ee85c0ffee592ee85c0ffee0"
	of := func(module string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Main: debug.Module{Version: module}}
		for i := 0; i < len(settings); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return info
	}
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		want string
	}{
		"a tag":                          {of("v1.2.3", "vcs.revision", revision, "vcs.modified", "false"), "1.2.3"},
		"a tag with changes":             {of("v1.2.3+dirty", "vcs.revision", revision, "vcs.modified", "true"), "1.2.3+changes"},
		"no tag":                         {of("v0.0.0-20261126030000-592ee85c0ffe", "vcs.revision", revision, "vcs.modified", "false"), "dev-592ee85c0ffe"},
		"no tag, with changes":           {of("v0.0.0-20261126030000-592ee85c0ffe+dirty", "vcs.revision", revision, "vcs.modified", "true"), "dev-592ee85c0ffe+changes"},
		"a revision, no module version":  {of("(devel)", "vcs.revision", revision), "dev-592ee85c0ffe"},
		"installed from a module's copy": {of("v1.2.3"), "1.2.3"},
		"no repository":                  {of("(devel)"), "dev-unknown"},
		"nothing at all":                 {of(""), "dev-unknown"},
	} {
		if got := version(c.info); got != c.want {
			t.Errorf("%s: %s, expected %s", name, got, c.want)
		}
	}
}

func TestNamedReleaseComesFirst(t *testing.T) {
	Name = "1.2.3"
	defer func() { Name = "" }()
	if got := Version(); got != "1.2.3" {
		t.Errorf("%s, expected 1.2.3", got)
	}
}
