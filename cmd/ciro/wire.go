package main

import (
	"slices"
	"strings"

	"github.com/ciro-network/ciro/node/config"
)

// exampleConfig is a commented configuration with the values of a profile.
func exampleConfig(profile string) (string, error) {
	profile = strings.ToLower(profile)
	if !slices.Contains(config.Profiles(), profile) {
		return "", usage("there is no profile %q; choose %s", profile, strings.Join(config.Profiles(), ", "))
	}
	return config.Example(profile), nil
}

// loadConfig puts a node's configuration together.
func loadConfig(o startOptions, env []string) (config.Config, error) {
	cfg, err := config.Load(config.Options{File: o.file, Profile: o.profile, Env: env, Flags: o.flags})
	if err != nil {
		return cfg, usage("%v", err)
	}
	return cfg, nil
}
