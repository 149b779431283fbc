// Package config is a node's configuration: one plain struct per section, good
// defaults, strict loading and one validation at the edge.
//
// # Layers
//
// [Load] puts five layers on top of each other; the later wins:
//
//	defaults < profile < file (TOML) < CIRO_* environment < flags
//
// A profile (development, staging, production, test) is chosen by
// Options.Profile, else by CIRO_PROFILE, else by the file's own key `profile`,
// else it is development. The file is Options.File, else CIRO_CONFIG, else none.
//
// A setting has one name everywhere: `high_water` in the file's section
// [network], CIRO_NETWORK_HIGH_WATER in the environment, and network.high_water
// among the flags and in errors. In the environment lists are separated by commas,
// and labels are written zone=eu,rack=7. Beside the settings, the environment
// knows
//
//	CIRO_DATA         the data directory, as CIRO_DATA_DIR
//	CIRO_JOIN_SECRET  the secret of network.join where that has none, so that it
//	                  appears neither in a file nor in the list of processes
//	CIRO_CONFIG, CIRO_PROFILE   as above
//	CIRO_API          the address that the command line speaks to; not read here
//
// An unknown key, in whichever layer, is an error that names the nearest known
// one. So is an unknown CIRO_* variable, and a value of the wrong type or outside
// its range. [Example] prints every setting with its meaning and default.
//
// # Given or default
//
// A listen address that nobody chose may fall back to a free port when it is
// taken; one that somebody chose must not. [Config.Given] says which settings
// came from a file, the environment or a flag.
//
// Sizes are written 256MiB or 1.5GB, durations 100ms, 4s or 1h30m, prices in
// units per core-hour. Adding a setting takes a field and one line in the table
// of settings.go.
package config
