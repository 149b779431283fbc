// Command guest is the WASM module of the render3d example. It runs in a
// sandbox that follows CIRO's guest contract and has two modes.
//
// As a task it reads /in/scene, renders the part of the frame that belongs to
// CIRO_TASK_INDEX of CIRO_TASK_COUNT (one task of one if they are not set),
// writes it to /out/tile.bin, and reports its progress to /dev/progress.
//
// As the gather, which CIRO_GATHER=1 says, it reads every
// /in/tasks/<index>/tile.bin and writes the assembled picture to
// /out/render.png. It refuses tiles that overlap or do not fill the frame.
//
// Flags -width, -height and -spp (samples per pixel) give the frame. The exit
// code is 0 when the output is complete, 1 when something failed, with the
// cause on standard error, and 2 for a flag it does not know.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

func main() {
	var f trace.Frame
	flag.IntVar(&f.Width, "width", 640, "width of the picture in pixels")
	flag.IntVar(&f.Height, "height", 360, "height of the picture in pixels")
	flag.IntVar(&f.Samples, "spp", 16, "samples per pixel")
	flag.Parse()
	var err error
	if os.Getenv("CIRO_GATHER") == "1" {
		err = gather("/in/tasks", "/out/render.png")
	} else {
		err = render(f, "/in/scene", "/out/tile.bin")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "render3d:", err)
		os.Exit(1)
	}
}

// render does this task's part of the frame.
func render(f trace.Frame, scene, out string) error {
	index, err := number("CIRO_TASK_INDEX", 0)
	if err != nil {
		return err
	}
	count, err := number("CIRO_TASK_COUNT", 1)
	if err != nil {
		return err
	}
	area, err := trace.Split(f, index, count)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(scene)
	if err != nil {
		return fmt.Errorf("read the scene: %w", err)
	}
	s, err := trace.Read(b)
	if err != nil {
		return fmt.Errorf("read the scene: %w", err)
	}
	report := newReport(fmt.Sprintf("tile %d of %d: %d × %d pixels", index+1, count, area.Dx(), area.Dy()))
	defer report.close()
	tile, err := s.Render(f, area, report.share)
	if err != nil {
		return err
	}
	b, err = tile.MarshalBinary()
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, b, 0o644); err != nil {
		return fmt.Errorf("write the tile: %w", err)
	}
	return nil
}

// gather assembles the tiles of all tasks. The order of the tasks does not
// matter, since a tile says where it belongs.
func gather(tasks, out string) error {
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return fmt.Errorf("list the tasks' outputs: %w", err)
	}
	var tiles []*trace.Tile
	for _, e := range entries {
		name := filepath.Join(tasks, e.Name(), "tile.bin")
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the output of task %s: %w", e.Name(), err)
		}
		t := &trace.Tile{}
		if err := t.UnmarshalBinary(b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		tiles = append(tiles, t)
	}
	img, err := trace.Assemble(tiles)
	if err != nil {
		return err
	}
	var png bytes.Buffer
	if err := trace.WritePNG(&png, img); err != nil {
		return err
	}
	if err := os.WriteFile(out, png.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// number returns the environment's integer of that name, or the default.
func number(name string, missing int) (int, error) {
	v := os.Getenv(name)
	if v == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: want a number", name, v)
	}
	return n, nil
}

// report writes progress lines. Outside of CIRO there is nobody to read them,
// which is no error, and neither is a reader that goes away.
type report struct {
	file    *os.File
	message string
	last    float64
}

func newReport(message string) *report {
	r := &report{message: message}
	if f, err := os.OpenFile("/dev/progress", os.O_WRONLY, 0); err == nil {
		r.file = f
		fmt.Fprintf(f, "0.00 %s\n", message)
	}
	return r
}

// share reports that part of the tile as done, in steps of two per cent.
func (r *report) share(done float64) {
	if r.file == nil || (done < r.last+0.02 && done < 1) {
		return
	}
	r.last = done
	fmt.Fprintf(r.file, "%.2f %s\n", done, r.message)
}

func (r *report) close() {
	if r.file != nil {
		r.file.Close()
	}
}
