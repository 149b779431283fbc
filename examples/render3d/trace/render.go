package trace

import (
	"fmt"
	"image"
	"math"
)

// Frame is the whole image that is rendered, whichever part of it a call does.
type Frame struct {
	Width, Height int // in pixels, 1 to 16,384 each
	Samples       int // paths per pixel, 1 to 65,536
}

// Check returns an error that names the first value out of range.
func (f Frame) Check() error {
	const side, samples = 1 << 14, 1 << 16
	switch {
	case f.Width < 1 || f.Width > side:
		return fmt.Errorf("width of %d pixels: want 1 to %d", f.Width, side)
	case f.Height < 1 || f.Height > side:
		return fmt.Errorf("height of %d pixels: want 1 to %d", f.Height, side)
	case f.Samples < 1 || f.Samples > samples:
		return fmt.Errorf("%d samples per pixel: want 1 to %d", f.Samples, samples)
	}
	return nil
}

// Bounds returns the rectangle of all pixels.
func (f Frame) Bounds() image.Rectangle { return image.Rect(0, 0, f.Width, f.Height) }

// Render traces the part of frame f inside area and returns it as a tile. The
// bytes depend on the scene and the frame only, not on how the frame is cut.
// After every row it calls progress, if that is not nil, with the share of the
// tile done so far, 0 to 1. Area must lie within a frame that passes Check.
func (s *Scene) Render(f Frame, area image.Rectangle, progress func(share float64)) (*Tile, error) {
	if err := f.Check(); err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	if !area.In(f.Bounds()) {
		return nil, fmt.Errorf("tile %v lies outside of the frame of %d × %d", area, f.Width, f.Height)
	}
	tile := &Tile{Area: area, Width: f.Width, Height: f.Height, Pix: make([]byte, 0, 3*area.Dx()*area.Dy())}
	t := &tracer{Scene: s}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			c := t.pixel(f, x, y)
			tile.Pix = append(tile.Pix, tone(c.x), tone(c.y), tone(c.z))
		}
		if progress != nil {
			progress(float64(y+1-area.Min.Y) / float64(area.Dy()))
		}
	}
	return tile, nil
}

// pixel returns the mean light of the pixel's samples, spread by a tent over
// the pixel and half of its neighbours, which gives soft edges.
func (t *tracer) pixel(f Frame, x, y int) vec {
	t.start(f, x, y)
	middle := t.camera.ray(f, float64(x)+0.5, float64(y)+0.5)
	t.aim(t.camera.eye, middle, t.camera.pixel(f))
	var sum vec
	for n := range f.Samples {
		t.begin(n)
		px := float64(x) + 0.5 + tent(t.draw())
		py := float64(y) + 0.5 + tent(t.draw())
		sum = sum.add(t.path(t.camera.ray(f, px, py)))
	}
	return sum.scale(1 / float64(f.Samples))
}

// tent maps an even distribution over [0, 1) to a triangle over [-1, 1).
func tent(u float64) float64 {
	if u < 0.5 {
		return math.Sqrt(float64(2*u)) - 1
	}
	return 1 - math.Sqrt(2-float64(2*u))
}

// tone maps linear light to a byte: a film-like shoulder (Narkowicz), then the
// curve of sRGB approximated by roots, which are exact on every machine.
func tone(v float64) byte {
	v = float64(v * 0.8)
	v = float64(v*(float64(2.51*v)+0.03)) / (float64(v*(float64(2.43*v)+0.59)) + 0.14)
	if !(v > 0) {
		return 0
	}
	if v >= 1 {
		return 255
	}
	r1 := math.Sqrt(v)
	r2 := math.Sqrt(r1)
	r3 := math.Sqrt(r2)
	v = float64(0.662002687*r1) + float64(0.684122060*r2) - float64(0.323583601*r3) - float64(0.0225411470*v)
	if !(v > 0) {
		return 0
	}
	if v >= 1 {
		return 255
	}
	return byte(float64(255*v) + 0.5)
}
