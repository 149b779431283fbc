// Command scenegen makes the scene of the render3d example: a trefoil knot
// braided of three metal strands on a stone dais in a calm sea at sunset, with
// porcelain spheres around it and mountains at the horizon.
//
//	go run ./scenegen scene.bin.gz
//
// The same Go release and architecture give the same file.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: scenegen FILE.gz")
		os.Exit(2)
	}
	if err := write(os.Args[1], compose().Encode()); err != nil {
		fmt.Fprintln(os.Stderr, "scenegen:", err)
		os.Exit(1)
	}
}

// write stores b compressed, without a name or a time.
func write(name string, b []byte) error {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress the scene: %w", err)
	}
	if _, err := z.Write(b); err != nil {
		return fmt.Errorf("compress the scene: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress the scene: %w", err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the scene: %w", err)
	}
	return nil
}

// Colours of the scene; all are linear.
var (
	gold   = trace.Material{Surface: trace.Metal, Smooth: true, Color: [3]float32{1, 0.71, 0.29}, Roughness: 0.05}
	copper = trace.Material{Surface: trace.Metal, Smooth: true, Color: [3]float32{0.95, 0.52, 0.40}, Roughness: 0.12}
	silver = trace.Material{Surface: trace.Metal, Smooth: true, Color: [3]float32{0.90, 0.91, 0.93}}
	sea    = trace.Material{Surface: trace.Coated, Smooth: true, Color: [3]float32{0.012, 0.05, 0.06}}
	stone  = trace.Material{Surface: trace.Diffuse, Smooth: true, Color: [3]float32{0.62, 0.58, 0.53}}
	marble = trace.Material{Surface: trace.Coated, Color: [3]float32{0.72, 0.69, 0.64}, Roughness: 0.04}
	slate  = trace.Material{Surface: trace.Coated, Color: [3]float32{0.07, 0.075, 0.09}, Roughness: 0.06}
)

func glaze(r, g, b float32) trace.Material {
	return trace.Material{Surface: trace.Coated, Smooth: true, Color: [3]float32{r, g, b}}
}

// compose puts the scene together.
func compose() *trace.Mesh {
	b := builder{mesh: &trace.Mesh{
		View: trace.View{Eye: [3]float32{1.4, 2.25, 12.5}, Target: [3]float32{0, 1.95, 0}, Slope: 0.262},
		Light: trace.Light{
			Zenith: [3]float32{0.13, 0.25, 0.56}, Horizon: [3]float32{1.05, 0.66, 0.50},
			Glow: [3]float32{0.75, 0.40, 0.18}, Sun: [3]float32{-0.80, 0.42, -0.10},
			SunColor: [3]float32{3.1, 1.95, 1.1}, SunSize: 0.035,
		},
	}}
	b.water(b.paint(sea))
	b.mountains(b.paint(stone))
	b.dais(b.paint(marble), b.paint(slate))
	for i, m := range []trace.Material{gold, copper, silver} {
		b.strand(i, b.paint(m))
	}
	for _, s := range []ball{
		{-2.55, 1.05, 0.36, glaze(0.62, 0.04, 0.03)},
		{-1.75, 1.95, 0.27, glaze(0.02, 0.16, 0.42)},
		{2.35, 1.35, 0.40, glaze(0.02, 0.30, 0.22)},
		{1.45, 2.15, 0.22, glaze(0.80, 0.48, 0.03)},
		{0.35, 2.45, 0.17, glaze(0.75, 0.74, 0.70)},
		{2.75, -0.6, 0.28, silver},
		{-2.7, -0.9, 0.30, gold},
	} {
		b.sphere(s, b.paint(s.material))
	}
	return b.mesh
}
