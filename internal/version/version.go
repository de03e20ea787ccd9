// Package version says which build this is.
package version

import "runtime/debug"

// version is stamped by the linker: -X …/internal/version.version=v1.2.3.
var version = ""

// String is the stamped version, or else the commit that was built, or dev.
func String() string {
	if version != "" {
		return version
	}
	info, known := debug.ReadBuildInfo()
	if !known {
		return "dev"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return setting.Value[:12]
		}
	}
	return "dev"
}
