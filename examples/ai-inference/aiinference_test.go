package aiinference

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
	"github.com/ciro-network/ciro/examples/exampletest"
)

// wanted is the accuracy that the example promises.
const wanted = 0.97

// inputs are the job's inputs as job.yaml names them.
func inputs(t *testing.T) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"model": exampletest.Unpack(t, "model.bin.gz"), "images": exampletest.Unpack(t, "images.idx.gz"),
		"labels": exampletest.Unpack(t, "labels.idx.gz"),
	}
}

func pictures(t *testing.T) ([]digits.Image, []uint8, *digits.Network) {
	t.Helper()
	in := inputs(t)
	images, err := digits.DecodeImages(in["images"])
	if err != nil {
		t.Fatal(err)
	}
	labels, err := digits.DecodeLabels(in["labels"])
	if err != nil {
		t.Fatal(err)
	}
	net, err := digits.Decode(in["model"])
	if err != nil {
		t.Fatal(err)
	}
	return images, labels, net
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAccuracyOfTheModule runs the committed module as a job and counts from its
// predictions, with nothing of its own report, how many are right. Natively and
// for every number of tasks the predictions are the same bytes.
func TestAccuracyOfTheModule(t *testing.T) {
	images, labels, net := pictures(t)
	r := digits.NewReader(net)
	var native []digits.Prediction
	for i := range images {
		p := digits.Prediction{Image: i}
		p.Digit, p.Margin = r.Read(&images[i])
		native = append(native, p)
	}
	s := exampletest.NewSandbox(t, exampletest.Unpack(t, "ai-inference.wasm.gz"))
	for _, count := range []int{8, 3} {
		out, shown := s.Job(t, inputs(t), count)
		text := read(t, out, "predictions.csv")
		if !bytes.Equal(text, digits.EncodePredictions(native)) {
			t.Errorf("%d tasks predict otherwise than a single process", count)
		}
		right, lines := 0, strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
		if len(lines) != len(labels) || len(lines) < 1000 {
			t.Fatalf("%d predictions for %d labels", len(lines), len(labels))
		}
		for i, line := range lines {
			if strings.Split(line, ",")[1] == string('0'+rune(labels[i])) {
				right++
			}
		}
		accuracy := float64(right) / float64(len(labels))
		t.Logf("%d tasks: %d of %d right, %.2f %%", count, right, len(labels), 100*accuracy)
		if accuracy < wanted {
			t.Errorf("%d tasks: accuracy %.4f, promised are %.2f", count, accuracy, wanted)
		}
		var report digits.Report
		if err := json.Unmarshal(read(t, out, "report.json"), &report); err != nil {
			t.Fatal(err)
		}
		want, err := digits.NewReport(native, labels)
		if err != nil {
			t.Fatal(err)
		}
		want.Trained = int(net.Trained)
		if !reflect.DeepEqual(report, *want) || report.Correct != right || shown != report.String() {
			t.Errorf("%d tasks report %+v\n%s", count, report, shown)
		}
	}
}

// TestNothingHereWasTrainedOn applies the rule that parts what training may see
// from what it may not to every picture that is here.
func TestNothingHereWasTrainedOn(t *testing.T) {
	images, _, net := pictures(t)
	seen := map[digits.Image]bool{}
	for i := range images {
		if !digits.HeldOut(&images[i]) {
			t.Errorf("training may have seen picture %d", i)
		}
		if seen[images[i]] {
			t.Errorf("picture %d occurs twice", i)
		}
		seen[images[i]] = true
	}
	// The package has 10,000 pictures: those of the network's file and these.
	if int(net.Trained)+len(images) != 10_000 {
		t.Errorf("the network was trained on %d, %d are here", net.Trained, len(images))
	}
}

func TestCommittedModule(t *testing.T) {
	images, labels, _ := pictures(t)
	few := map[string][]byte{"model": exampletest.Unpack(t, "model.bin.gz"),
		"images": digits.EncodeImages(images[:50]), "labels": digits.EncodeLabels(labels[:50])}
	exampletest.CheckModule(t, "ai-inference", func(built, committed []byte) bool {
		a, _ := exampletest.NewSandbox(t, built).Job(t, few, 3)
		b, _ := exampletest.NewSandbox(t, committed).Job(t, few, 3)
		return bytes.Equal(read(t, a, "predictions.csv"), read(t, b, "predictions.csv"))
	})
}

// TestGuestRefuses has the guest run on what it should not take.
func TestGuestRefuses(t *testing.T) {
	s := exampletest.NewSandbox(t, exampletest.Unpack(t, "ai-inference.wasm.gz"))
	run := func(want string, change func(in map[string][]byte), env ...string) {
		t.Helper()
		dir, in := t.TempDir(), inputs(t)
		change(in)
		for name, b := range in { // any order: independent files
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if e := s.Run(t, dir, t.TempDir(), env...); e.Code != 1 || !strings.Contains(e.Stderr, want) {
			t.Errorf("want %q: %+v", want, e)
		}
	}
	run("read the network", func(in map[string][]byte) { delete(in, "model") })
	run("cut short", func(in map[string][]byte) { in["model"] = in["model"][:1000] })
	run("not an IDX file", func(in map[string][]byte) { in["images"] = []byte("png") })
	run("pictures are announced", func(in map[string][]byte) { in["images"] = in["images"][:1000] })
	run("output of task 0", func(map[string][]byte) {}, "CIRO_GATHER", "1", "CIRO_TASK_COUNT", "2")
}
