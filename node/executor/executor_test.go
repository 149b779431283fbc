package executor_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

func TestValidate(t *testing.T) {
	good := executor.Task{Module: "m", Env: []string{"A=b=c", "EMPTY="}, Args: []string{""}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*executor.Task){ // any order: independent
		"no module":        func(t *executor.Task) { t.Module = "" },
		"negative timeout": func(t *executor.Task) { t.Limits.Timeout = -1 },
		"NUL in argument":  func(t *executor.Task) { t.Args = []string{"a\x00b"} },
		"no equals sign":   func(t *executor.Task) { t.Env = []string{"A"} },
		"no name":          func(t *executor.Task) { t.Env = []string{"=b"} },
		"NUL in variable":  func(t *executor.Task) { t.Env = []string{"A=\x00"} },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); !errors.Is(err, executor.ErrTask) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnviron(t *testing.T) {
	task := executor.Task{
		Job: "j", Type: "render3d", Index: 1, Count: 4, Attempt: 2,
		Env: []string{"B=2", "CIRO_ATTEMPT=99", "A=1"},
	}
	want := []string{
		"B=2", "A=1", "CIRO_CONTRACT=1", "CIRO_JOB_ID=j", "CIRO_JOB_TYPE=render3d",
		"CIRO_TASK_INDEX=1", "CIRO_TASK_COUNT=4", "CIRO_ATTEMPT=2",
	}
	if got := task.Environ(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestDefaults(t *testing.T) {
	got := executor.Task{}.WithDefaults()
	want := executor.Limits{
		Memory: executor.DefaultMemory, OutBytes: executor.DefaultOutBytes,
		OutFiles: executor.DefaultOutFiles, Timeout: executor.DefaultTimeout,
	}
	if got.Limits != want || !got.Clock.Equal(time.Unix(0, 0)) {
		t.Errorf("%+v", got)
	}
	set := executor.Limits{Memory: 1, OutBytes: 2, OutFiles: 3, Timeout: 4}
	if got := (executor.Task{Limits: set}).WithDefaults(); got.Limits != set {
		t.Errorf("%+v", got.Limits)
	}
}

func TestOutcomeString(t *testing.T) {
	for want, o := range map[string]executor.Outcome{ // any order: independent
		"done":              {},
		"exit 3":            {Cause: executor.Exit, Exit: 3, Detail: "exit code 3"},
		"trap: unreachable": {Cause: executor.Trap, Detail: "unreachable\nstack"},
	} {
		if got := o.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
