package jobspec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sizeUnits are the known units of sizes, in lower case.
var sizeUnits = map[string]uint64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
}

// ParseSize reads a size in bytes: 4096, 256MiB, 1.5GB. The error names the
// text and how sizes are written.
func ParseSize(text string) (uint64, error) {
	number, unit := splitUnit(text)
	factor, ok := sizeUnits[strings.ToLower(unit)]
	value, err := decimal(number, 3)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no size; write bytes, or 256MiB, 1.5GB", text)
	}
	if factor == 1 {
		if value%1000 != 0 {
			return 0, fmt.Errorf("%q is no whole number of bytes", text)
		}
		return value / 1000, nil
	}
	if value > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is larger than any machine", text)
	}
	return value * factor / 1000, nil
}

// FormatSize writes a size with the largest unit that divides it, such that
// ParseSize returns the same number.
func FormatSize(n uint64) string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if f := sizeUnits[strings.ToLower(u)]; n >= f && n%f == 0 {
			return strconv.FormatUint(n/f, 10) + u
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}

// ShowSize writes a size for people, rounded: 17.7 GiB.
func ShowSize[N int64 | uint64](n N) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(int64(n), 10) + " B"
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + units[unit:unit+1] + "iB"
}

// ParseCPU reads cores, 0.5 or 500m, and returns thousandths of a core.
func ParseCPU(text string) (uint32, error) {
	number, unit := splitUnit(text)
	places := 3
	if unit == "m" {
		places = 0
	}
	value, err := decimal(number, places)
	if err != nil || (unit != "" && unit != "m") {
		return 0, fmt.Errorf("%q is no number of cores; write 2, 0.5 or 500m", text)
	}
	if value > math.MaxInt32 {
		return 0, fmt.Errorf("%q is more cores than any machine has", text)
	}
	return uint32(value), nil
}

// ParsePrice reads units per core-hour with at most six decimals, 0.05, and
// returns micro-units.
func ParsePrice(text string) (uint64, error) {
	value, err := decimal(text, 6)
	if err != nil {
		return 0, fmt.Errorf("%q is no price; write units per core-hour with at most six decimals, as in 0.05", text)
	}
	return value, nil
}

// FormatPrice writes micro-units as ParsePrice reads them.
func FormatPrice(micro uint64) string { return formatDecimal(micro, 6) }

// parseDuration reads a duration that is not negative.
func parseDuration(text string) (time.Duration, error) {
	if text != "0" && strings.Trim(text, "0123456789.") == "" {
		return 0, fmt.Errorf("%q has no unit; write %ss, %sm or %sh", text, text, text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration; write 30s, 2m or 1h30m", text)
	}
	return d, nil
}

// splitUnit splits text behind its number. An exponent stays with the number.
func splitUnit(text string) (number, unit string) {
	text = strings.TrimSpace(text)
	i := strings.IndexFunc(text, func(c rune) bool { return !strings.ContainsRune("0123456789._+-", c) })
	if i > 0 && (text[i] == 'e' || text[i] == 'E') {
		return text, ""
	}
	if i < 0 {
		return text, ""
	}
	return text[:i], strings.TrimSpace(text[i:])
}

// decimal reads a number that is not negative and returns it times 10^places,
// exactly; more decimals than places are an error unless they are zeros.
// Exponents, which some programs write for small numbers, go through a float.
func decimal(text string, places int) (uint64, error) {
	scale := uint64(math.Pow10(places))
	if strings.ContainsAny(text, "eE") {
		f, err := strconv.ParseFloat(text, 64)
		f *= float64(scale)
		if err != nil || f < 0 || f > 1<<53 || math.Abs(f-math.Round(f)) > 1e-6 {
			return 0, fmt.Errorf("%q is out of range", text)
		}
		return uint64(math.Round(f)), nil
	}
	whole, frac, _ := strings.Cut(text, ".")
	frac = strings.TrimRight(frac, "0")
	if len(frac) > places {
		return 0, fmt.Errorf("%q has more than %d decimals", text, places)
	}
	if whole == "" && frac != "" {
		whole = "0"
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	if n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	var part uint64
	if frac != "" {
		part, err = strconv.ParseUint(frac+strings.Repeat("0", places-len(frac)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no number", text)
		}
	}
	return n*scale + part, nil
}

// formatDecimal writes n / 10^places without needless zeros.
func formatDecimal(n uint64, places int) string {
	scale := uint64(math.Pow10(places))
	text := strconv.FormatUint(n/scale, 10)
	if rest := n % scale; rest != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%0*d", places, rest), "0")
	}
	return text
}
