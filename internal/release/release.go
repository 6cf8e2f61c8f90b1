// Package release says which Ringway this is.
package release

import (
	"runtime/debug"
	"strings"
	"sync"
)

// Name is the name of a release, if the program was built as one. main sets it before anything else runs.
var Name string

// Version is the release, or else the tag or the revision that the program was built from.
func Version() string {
	if Name != "" {
		return Name
	}
	return built()
}

var built = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	return version(info)
})

const unknown = "dev-unknown"

// version reads what the go command has noted of the repository: the revision always, and the tag as the module's version, if that revision has one. Without a
// tag that version is made of the date and the revision, and tells no more than the revision.
func version(info *debug.BuildInfo) string {
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	tag, _, _ := strings.Cut(info.Main.Version, "+")
	switch {
	case revision == "" && (tag == "" || tag == "(devel)"):
		return unknown
	case tag == "" || tag == "(devel)" || revision != "" && strings.HasSuffix(tag, "-"+revision):
		return "dev-" + revision + dirty
	}
	return strings.TrimPrefix(tag, "v") + dirty
}
