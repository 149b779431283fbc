package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// TimeLayout is the text form of every moment on the wire: RFC 3339, UTC,
// milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// Time is a moment as the wire shows it. The zero Time means "not yet" or
// "unknown" and is left out of objects (fields carry omitzero).
type Time struct{ time.Time }

// At wraps t. The zero time stays zero.
func At(t time.Time) Time { return Time{t} }

// MarshalJSON writes the moment in [TimeLayout], in UTC; the zero Time is null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format(TimeLayout) + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time; null and "" give the zero Time.
func (t *Time) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("time %s: %w", data, err)
	}
	if s == nil || *s == "" {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	*t = Time{parsed.UTC()}
	return nil
}

// Schema describes the text form for the OpenAPI document.
func (Time) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}
