// Command guest is the WASM module of the ai-inference example. It runs in a
// sandbox that follows CIRO's guest contract and has two modes.
//
// As a task it reads the network from /in/model and the pictures from
// /in/images, classifies the part that belongs to CIRO_TASK_INDEX of
// CIRO_TASK_COUNT, writes /out/predictions.csv, and reports its progress.
//
// As the gather, which CIRO_GATHER=1 says, it joins the predictions of all
// tasks, compares them with /in/labels, and writes /out/predictions.csv and
// /out/report.json: accuracy, confusion matrix, and every mistake. The same for
// people goes to standard output.
//
// The exit code is 0 when the output is complete and 1 when something failed,
// with the cause on standard error.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
	"github.com/ciro-network/ciro/examples/guest"
)

func main() {
	me, err := guest.Self()
	switch {
	case err != nil:
	case me.Gather:
		err = gather(me.Count)
	default:
		err = classify(me)
	}
	if err != nil {
		guest.Fail("ai-inference", err)
	}
}

// classify does one task's part of the pictures.
func classify(me guest.Place) error {
	net, err := network()
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/in/images")
	if err != nil {
		return fmt.Errorf("read the pictures: %w", err)
	}
	images, err := digits.DecodeImages(b)
	if err != nil {
		return fmt.Errorf("read the pictures: %w", err)
	}
	from, to, err := digits.Split(len(images), me.Index, me.Count)
	if err != nil {
		return err
	}
	progress := guest.NewProgress()
	defer progress.Close()
	message := fmt.Sprintf("pictures %d to %d", from, to)
	r := digits.NewReader(net)
	all := make([]digits.Prediction, 0, to-from)
	for i := from; i < to; i++ {
		progress.Report(float64(i-from)/float64(to-from), message)
		p := digits.Prediction{Image: i}
		p.Digit, p.Margin = r.Read(&images[i])
		all = append(all, p)
	}
	return write("predictions.csv", digits.EncodePredictions(all))
}

// gather joins and judges what the tasks found.
func gather(count int) error {
	net, err := network()
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/in/labels")
	if err != nil {
		return fmt.Errorf("read the labels: %w", err)
	}
	labels, err := digits.DecodeLabels(b)
	if err != nil {
		return fmt.Errorf("read the labels: %w", err)
	}
	var all []digits.Prediction
	for i := range count {
		name := filepath.Join("/in/tasks", strconv.Itoa(i), "predictions.csv")
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the output of task %d: %w", i, err)
		}
		part, err := digits.DecodePredictions(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, part...)
	}
	report, err := digits.NewReport(all, labels)
	if err != nil {
		return err
	}
	report.Trained = int(net.Trained)
	if b, err = report.Encode(); err != nil {
		return err
	}
	fmt.Print(report)
	if err := write("report.json", b); err != nil {
		return err
	}
	return write("predictions.csv", digits.EncodePredictions(all))
}

func network() (*digits.Network, error) {
	b, err := os.ReadFile("/in/model")
	if err != nil {
		return nil, fmt.Errorf("read the network: %w", err)
	}
	net, err := digits.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("read the network: %w", err)
	}
	return net, nil
}

func write(name string, b []byte) error {
	if err := os.WriteFile(filepath.Join("/out", name), b, 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
