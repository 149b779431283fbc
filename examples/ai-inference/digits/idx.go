package digits

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Size of a picture in pixels.
const (
	Side   = 28
	Pixels = Side * Side
)

// MaxImages bounds the pictures of one file.
const MaxImages = 1_000_000

// Image is one picture, row by row; 0 is paper, 255 is ink.
type Image [Pixels]uint8

// ErrFormat is wrapped by the errors about bytes that are not what they should be.
var ErrFormat = errors.New("digits: malformed data")

// The first four bytes of IDX files: unsigned bytes in three and in one dimension.
const (
	magicImages = 0x00000803
	magicLabels = 0x00000801
)

// EncodeImages writes pictures as an IDX file.
func EncodeImages(images []Image) []byte {
	b := make([]byte, 0, 16+len(images)*Pixels)
	for _, n := range []uint32{magicImages, uint32(len(images)), Side, Side} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for i := range images {
		b = append(b, images[i][:]...)
	}
	return b
}

// DecodeImages reads an IDX file of pictures.
func DecodeImages(b []byte) ([]Image, error) {
	if len(b) < 16 || binary.BigEndian.Uint32(b) != magicImages {
		return nil, fmt.Errorf("%w: not an IDX file of pictures", ErrFormat)
	}
	n, rows, columns := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if rows != Side || columns != Side {
		return nil, fmt.Errorf("%w: pictures have %d × %d pixels, want %d × %d", ErrFormat, columns, rows, Side, Side)
	}
	b = b[16:]
	if n > MaxImages || len(b) != int(n)*Pixels {
		return nil, fmt.Errorf("%w: %d pictures are announced, but %d bytes follow", ErrFormat, n, len(b))
	}
	images := make([]Image, n)
	for i := range images {
		copy(images[i][:], b[i*Pixels:])
	}
	return images, nil
}

// EncodeLabels writes labels as an IDX file.
func EncodeLabels(labels []uint8) []byte {
	b := binary.BigEndian.AppendUint32(nil, magicLabels)
	b = binary.BigEndian.AppendUint32(b, uint32(len(labels)))
	return append(b, labels...)
}

// DecodeLabels reads an IDX file of labels, each of which is a digit.
func DecodeLabels(b []byte) ([]uint8, error) {
	if len(b) < 8 || binary.BigEndian.Uint32(b) != magicLabels {
		return nil, fmt.Errorf("%w: not an IDX file of labels", ErrFormat)
	}
	n := binary.BigEndian.Uint32(b[4:])
	b = b[8:]
	if n > MaxImages || len(b) != int(n) {
		return nil, fmt.Errorf("%w: %d labels are announced, but %d bytes follow", ErrFormat, n, len(b))
	}
	for i, l := range b {
		if l >= Classes {
			return nil, fmt.Errorf("%w: label %d is %d, which is no digit", ErrFormat, i, l)
		}
	}
	return append([]uint8(nil), b...), nil
}
