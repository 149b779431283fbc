package digits

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Prediction is what the network makes of one picture.
type Prediction struct {
	Image  int   // its place in the file, from 0
	Digit  uint8 // what it is taken for
	Margin int32 // by how much its score is above the next digit's
}

// header is the first line of a file of predictions.
const header = "image,digit,margin"

// EncodePredictions writes predictions as CSV with a header.
func EncodePredictions(all []Prediction) []byte {
	b := append(make([]byte, 0, 16*len(all)), header+"\n"...)
	for _, p := range all {
		b = strconv.AppendInt(b, int64(p.Image), 10)
		b = append(b, ',', '0'+p.Digit, ',')
		b = append(strconv.AppendInt(b, int64(p.Margin), 10), '\n')
	}
	return b
}

// DecodePredictions reads what EncodePredictions wrote.
func DecodePredictions(b []byte) ([]Prediction, error) {
	text, ok := strings.CutPrefix(string(b), header+"\n")
	if !ok {
		return nil, fmt.Errorf("%w: predictions do not begin with %q", ErrFormat, header)
	}
	var all []Prediction
	for line := range strings.Lines(text) {
		image, rest, ok1 := strings.Cut(strings.TrimSuffix(line, "\n"), ",")
		digit, margin, ok2 := strings.Cut(rest, ",")
		i, err1 := strconv.ParseUint(image, 10, 31)
		d, err2 := strconv.ParseUint(digit, 10, 8)
		m, err3 := strconv.ParseInt(margin, 10, 32)
		if !ok1 || !ok2 || err1 != nil || err2 != nil || err3 != nil || i >= MaxImages || d >= Classes || m < 0 {
			return nil, fmt.Errorf("%w: prediction %q", ErrFormat, line)
		}
		all = append(all, Prediction{int(i), uint8(d), int32(m)})
	}
	return all, nil
}

// Report says how good predictions are.
type Report struct {
	Images   int     `json:"images"`
	Correct  int     `json:"correct"`
	Accuracy float64 `json:"accuracy"` // Correct / Images
	// Confusion[truth][guess] counts pictures.
	Confusion [Classes][Classes]int `json:"confusion"`
	Mistakes  []Mistake             `json:"mistakes"` // by picture
	// Trained is the number of pictures that the network learnt from.
	Trained int `json:"trained"`
}

// Mistake is a picture that was taken for another digit.
type Mistake struct {
	Image int   `json:"image"`
	Truth uint8 `json:"truth"`
	Guess uint8 `json:"guess"`
}

// NewReport judges predictions by the labels. It refuses predictions
// that are not one for each label, in order.
func NewReport(all []Prediction, labels []uint8) (*Report, error) {
	if len(all) != len(labels) || len(labels) == 0 {
		return nil, fmt.Errorf("%w: %d predictions for %d labels", ErrFormat, len(all), len(labels))
	}
	r := &Report{Images: len(all), Mistakes: []Mistake{}}
	for i, p := range all {
		if p.Image != i {
			return nil, fmt.Errorf("%w: prediction %d is about picture %d: a part is missing or there twice", ErrFormat, i, p.Image)
		}
		r.Confusion[labels[i]][p.Digit]++
		if p.Digit == labels[i] {
			r.Correct++
		} else {
			r.Mistakes = append(r.Mistakes, Mistake{i, labels[i], p.Digit})
		}
	}
	r.Accuracy = float64(r.Correct) / float64(r.Images)
	return r, nil
}

// Encode is the report as JSON.
func (r *Report) Encode() ([]byte, error) {
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}

// String is the report for people.
func (r *Report) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d of %d pictures read right: %.2f %% (learnt from %d others)\n\n", r.Correct, r.Images, 100*r.Accuracy, r.Trained)
	b.WriteString("       taken for\ntruth ")
	for d := range Classes {
		fmt.Fprintf(&b, "%5d", d)
	}
	b.WriteString("\n")
	for truth, row := range r.Confusion {
		fmt.Fprintf(&b, "%5d ", truth)
		for _, n := range row {
			if n == 0 {
				b.WriteString("    .")
			} else {
				fmt.Fprintf(&b, "%5d", n)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
