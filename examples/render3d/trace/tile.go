package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
)

// ErrTile is wrapped by every refusal of a tile or a set of tiles.
var ErrTile = errors.New("not a usable tile")

// Tile is a rendered part of a frame.
type Tile struct {
	Area          image.Rectangle // where it belongs, in pixels of the frame
	Width, Height int             // of the whole frame
	Pix           []byte          // red, green, blue per pixel, row by row
}

// tileHeader is the number of bytes before a tile's pixels: x, y, width and
// height of the tile, width and height of the frame.
const tileHeader = 6 * 4

// MarshalBinary returns the tile as a file: six little-endian 32-bit numbers,
// then the pixels. The error is always nil.
func (t *Tile) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, tileHeader+len(t.Pix))
	for _, v := range []int{t.Area.Min.X, t.Area.Min.Y, t.Area.Dx(), t.Area.Dy(), t.Width, t.Height} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return append(b, t.Pix...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and keeps a reference to b.
// Errors wrap [ErrTile].
func (t *Tile) UnmarshalBinary(b []byte) error {
	if len(b) < tileHeader {
		return fmt.Errorf("%w: %d bytes are less than a header", ErrTile, len(b))
	}
	var v [6]int
	for i := range v {
		n := binary.LittleEndian.Uint32(b[4*i:])
		if n > 1<<14 {
			return fmt.Errorf("%w: header value of %d", ErrTile, n)
		}
		v[i] = int(n)
	}
	area := image.Rect(v[0], v[1], v[0]+v[2], v[1]+v[3])
	f := Frame{Width: v[4], Height: v[5], Samples: 1}
	if err := f.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrTile, err)
	}
	if !area.In(f.Bounds()) {
		return fmt.Errorf("%w: %v lies outside of its frame of %d × %d", ErrTile, area, f.Width, f.Height)
	}
	if want := 3 * v[2] * v[3]; len(b)-tileHeader != want {
		return fmt.Errorf("%w: %d bytes of pixels, want %d", ErrTile, len(b)-tileHeader, want)
	}
	*t = Tile{Area: area, Width: v[4], Height: v[5], Pix: b[tileHeader:]}
	return nil
}

// Split returns the part of f that task index of count renders. The frame is
// cut into a grid of columns × rows = count whose cells are as square as count
// allows, so 12 tasks of a 16:9 frame make 4 × 3; a prime count makes stripes.
// Every pixel belongs to exactly one part. With more tasks than there are pixels in a
// row, some parts are empty.
func Split(f Frame, index, count int) (image.Rectangle, error) {
	if err := f.Check(); err != nil {
		return image.Rectangle{}, fmt.Errorf("frame: %w", err)
	}
	if count < 1 || index < 0 || index >= count {
		return image.Rectangle{}, fmt.Errorf("task %d of %d: want an index from 0 to below the count", index, count)
	}
	columns, best := 1, 0.0
	for c := 1; c <= count; c++ {
		if count%c != 0 {
			continue
		}
		// A cell's short side over its long one.
		q := float64(f.Width*(count/c)) / float64(f.Height*c)
		if q > 1 {
			q = 1 / q
		}
		if q > best {
			columns, best = c, q
		}
	}
	rows, col, row := count/columns, index%columns, index/columns
	return image.Rect(f.Width*col/columns, f.Height*row/rows,
		f.Width*(col+1)/columns, f.Height*(row+1)/rows), nil
}

// Assemble puts tiles of one frame together, in any order. Tiles that disagree
// about the frame, overlap or leave a pixel open are refused with [ErrTile].
func Assemble(tiles []*Tile) (*image.NRGBA, error) {
	if len(tiles) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrTile)
	}
	w, h := tiles[0].Width, tiles[0].Height
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	open := w * h
	for _, t := range tiles {
		if t.Width != w || t.Height != h {
			return nil, fmt.Errorf("%w: one belongs to a frame of %d × %d, another of %d × %d", ErrTile, w, h, t.Width, t.Height)
		}
		pix := t.Pix
		for y := t.Area.Min.Y; y < t.Area.Max.Y; y++ {
			for x := t.Area.Min.X; x < t.Area.Max.X; x++ {
				to := img.Pix[img.PixOffset(x, y):]
				if to[3] != 0 {
					return nil, fmt.Errorf("%w: two of them hold the pixel %d, %d", ErrTile, x, y)
				}
				to[0], to[1], to[2], to[3] = pix[0], pix[1], pix[2], 0xff
				pix = pix[3:]
				open--
			}
		}
	}
	if open > 0 {
		return nil, fmt.Errorf("%w: %d pixels of the frame are in none of the %d", ErrTile, open, len(tiles))
	}
	return img, nil
}

// WritePNG writes img as a PNG file. For equal images the bytes are equal as
// long as the Go release is.
func WritePNG(w io.Writer, img image.Image) error {
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := e.Encode(w, img); err != nil {
		return fmt.Errorf("write PNG: %w", err)
	}
	return nil
}
