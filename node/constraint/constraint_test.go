package constraint

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

func sample() *work.Capability {
	return &work.Capability{
		Total:     job.Resources{CPU: 8000, Memory: 32 << 30, Disk: 100 << 30, GPUs: 2, GPUMem: 24 << 30},
		Executors: []string{"wasm"}, Price: 50_000, Slots: 16, Version: "1.2.3",
		Labels: []job.Pair{{Key: "arch", Value: "amd64"}, {Key: "country", Value: "de"}, {Key: "gpu.model", Value: "NVIDIA A100"},
			{Key: "name", Value: "box"}, {Key: "os", Value: "linux"}, {Key: "rack", Value: "7"}, {Key: "region", Value: "eu"}, {Key: "zone", Value: "EU-1"}},
	}
}

func TestExpressions(t *testing.T) {
	for source, want := range map[string]bool{
		`cpu >= 8`:                                              true,
		`cpu > 8`:                                               false,
		`cpu == 8.0`:                                            true,
		`memory >= 32 * GiB and disk >= 100*GiB`:                true,
		`memory >= 32.5 * GiB`:                                  false,
		`memory >= 30 * GB && disk < 1 * TB`:                    true,
		`gpu.count == 2 and gpu.memory >= 24 * GiB`:             true,
		`gpu.model contains "A100"`:                             true,
		`gpu.model matches "^NVIDIA [AH]100$"`:                  true,
		`labels["zone"] == "EU-1"`:                              true,
		`labels.zone == 'EU-1'`:                                 true,
		`lower(labels["zone"]) in ["eu-1", "eu-2"]`:             true,
		`labels["nothing"] == ""`:                               true,
		`"rack" in labels and "shelf" not in labels`:            true,
		`int(labels["rack"]) > 6`:                               true,
		`int(labels["zone"]) > 6`:                               false, // no number
		`float(labels.rack) < 7.5`:                              true,
		`region == "eu" and country == "de"`:                    true,
		`not (os == "windows") and arch in ["amd64", "arm64"]`:  true,
		`!(os startsWith "lin" and os endsWith "ux")`:           false,
		`name == "box" and peer startsWith "12D3"`:              true,
		`price <= 0.05`:                                         true,
		`price < 0.05`:                                          false,
		`"wasm" in executors and len(types) == 0`:               true,
		`slots >= 16 or version == "9"`:                         true,
		`cpu > 4 ? memory > 64 * GiB : true`:                    false,
		`executors[5] == "x"`:                                   false,
		`slots % 0 == 1`:                                        false,
		`true`:                                                  true,
		"cpu >= 8\nand os == \"linux\"":                         true,
		`trim(upper(region)) == "EU"`:                           true,
		`(cpu >= 8 and slots > 1) and (disk > 0 or memory > 0)`: true,
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := c.Fails("12D3peer", sample()) == 0; got != want {
			t.Errorf("%s is %v", source, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	for source, want := range map[string]string{
		``:                                         "column 1: the expression ends too early",
		`cpu >=`:                                   "column 7: the expression ends too early",
		`cpu`:                                      "column 1: expected bool, but got float64",
		`cpu > "4"`:                                "column 5: invalid operation: > (mismatched types float64 and string)",
		`cpus > 4`:                                 `column 1: unknown field "cpus"`,
		`cpu > 1 and memroy > 2`:                   `column 13: unknown field "memroy"`,
		"cpu > 1\n and memroy > 2":                 `line 2, column 6: unknown field "memroy"`,
		`gpu.cuont > 1`:                            `unknown field "gpu.cuont"`,
		`foo(cpu) > 1`:                             `unknown function "foo"`,
		`now() == now()`:                           `unknown function "now"`,
		`all(executors, # == "x")`:                 `unknown function "all"`,
		`any(1..1000000000, # == 2)`:               `unknown function "any"`,
		`1 in 1..1000000000`:                       "the operator .. is not part",
		`2 ** 9999999 > 1`:                         "the operator ** is not part",
		`let x = 1; x > 0`:                         "not part of constraint expressions",
		`cpu > 0; true`:                            "not part of constraint expressions",
		`executors[0:1] == ["wasm"]`:               "not part of constraint expressions",
		`{"a": 1}["a"] == 1`:                       "not part of constraint expressions",
		`labels?.zone == "x"`:                      "not part of constraint expressions",
		`name matches labels["x"]`:                 "the pattern of matches must be written out",
		`name matches "("`:                         "missing closing )",
		`os == nil`:                                "not part of constraint expressions",
		`cpu > 0 | lower`:                          "",
		`repeat("x", 1000000) == "y"`:              `unknown function "repeat"`,
		`$env["cpu"] > 1`:                          `unknown field "$env"`,
		strings.Repeat("(", 500):                   "",
		strings.Repeat("not ", 200) + "true":       "",
		strings.Repeat("!", 1000) + "true":         "",
		strings.Repeat("x", 2000):                  "2000 bytes are over 1024",
		"cpu > 1 and \xff":                         "is no valid text",
		strings.Repeat("cpu>1 and ", 90) + "cpu>1": "",
	} {
		_, err := Compile(source)
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || bad.Line < 1 || bad.Column < 1 {
			t.Errorf("%.80s: %v, want %s", source, err, want)
		}
	}
	_, err := Compile("cpu > 1 and memroy > 2")
	var bad *Error
	if !errors.As(err, &bad) || bad.Unknown != "memroy" || !reflect.DeepEqual(bad.Known, Fields()) {
		t.Errorf("%+v", bad)
	}
}

func TestClausesAreNamed(t *testing.T) {
	c, err := Compile(`cpu >= 4 and (os == "linux" or os == "darwin") and labels["zone"] == "eu" && not ("x" in labels)`)
	if err != nil {
		t.Fatal(err)
	}
	want := `cpu >= 4 | os == "linux" or os == "darwin" | labels.zone == "eu" | not ("x" in labels)`
	if got := strings.Join(c.Clauses(), " | "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if fails := c.Fails("p", sample()); fails != 1<<2 {
		t.Errorf("clauses %b fail", fails)
	}
}

// TestFieldsAreThoseOfTheEnvironment keeps the list of names and the type in step.
func TestFieldsAreThoseOfTheEnvironment(t *testing.T) {
	var got []string
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		for f := range of.Fields() {
			if f.Anonymous {
				walk(f.Type)
				continue
			}
			got = append(got, f.Tag.Get("expr"))
		}
	}
	walk(reflect.TypeFor[env]())
	if !reflect.DeepEqual(got, names) {
		t.Errorf("the type has %v,\nthe list %v", got, names)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`cpu >= 8 and labels["zone"] in ["a", "b"] or not (int(labels.rack) % 2 == 0)`)
	f.Add(`gpu.model matches "^A" ? len(types) > 0 : price * 2 <= 0.1`)
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Compile(source)
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) {
				t.Errorf("%q: %v", source, err)
			}
			return
		}
		of := sample()
		if c.Fails("p", of) != c.Fails("p", of) {
			t.Errorf("%q is not the same twice", source)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(`cpu >= 8 and memory >= 16 * GiB and labels["zone"] in ["eu-1", "eu-2"] and price <= 0.05`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFails(b *testing.B) {
	c, err := Compile(`cpu >= 8 and memory >= 16 * GiB and labels["zone"] in ["EU-1", "eu-2"] and price <= 0.05`)
	if err != nil {
		b.Fatal(err)
	}
	of := [2]*work.Capability{sample(), sample()}
	for n := 0; b.Loop(); n++ {
		c.Fails("p", of[n%2])
	}
}
