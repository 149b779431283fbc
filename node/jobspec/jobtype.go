package jobspec

import "strings"

// jobTypes are the known types in their documented order, each with its other
// names in squeezed form.
var jobTypes = []struct {
	name    string
	aliases []string
}{
	{"render3d", []string{"3drender", "3drendering", "render"}},
	{"video", []string{"videoprocessing"}},
	{"ai-inference", []string{"ai"}},
	{"computer-vision", []string{"cv"}},
	{"nlp", nil},
	{"audio", []string{"audioprocessing"}},
	{"time-series", []string{"timeseriesanalysis"}},
	{"multimodal", []string{"multimodalai"}},
	{"reinforcement-learning", []string{"rl"}},
	{"specialized-ai", nil},
	{"zk-proof", []string{"proofgeneration"}},
	{"custom", nil},
}

// Types returns the canonical job types in their documented order.
func Types() []string {
	out := make([]string, len(jobTypes))
	for i, t := range jobTypes {
		out[i] = t.name
	}
	return out
}

// Canonical returns the canonical form of a job type as people write it: case,
// "-", "_" and spaces do not matter, old names are known, and any
// "<domain>_ai" is specialized-ai. It returns false for a type nobody knows.
func Canonical(jobType string) (string, bool) {
	squeezed := squeeze(jobType)
	for _, t := range jobTypes {
		if squeeze(t.name) == squeezed {
			return t.name, true
		}
		for _, a := range t.aliases {
			if a == squeezed {
				return t.name, true
			}
		}
	}
	lower := strings.ToLower(jobType)
	for _, suffix := range []string{"_ai", "-ai", " ai"} {
		if domain, ok := strings.CutSuffix(lower, suffix); ok && squeeze(domain) != "" {
			return "specialized-ai", true
		}
	}
	return "", false
}

// squeeze drops what does not matter in a name.
func squeeze(name string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
}

// Nearest returns the known name with the smallest edit distance to name, for
// "did you mean". Case, "-" and "_" count nothing. It returns false when none
// is near: more than two edits and more than a third of the name away.
func Nearest(name string, known []string) (string, bool) {
	best, at := -1, ""
	for _, k := range known {
		if d := editDistance(squeeze(name), squeeze(k)); best < 0 || d < best {
			best, at = d, k
		}
	}
	return at, best >= 0 && best <= max(2, len(name)/3) && best < len(name)
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment). Long names are cut:
// they are no typing errors.
func editDistance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	var rows [3][longest + 1]int // the row two above, the row above, this row
	two, above, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, above, row = above, row, two
	}
	return above[len(b)]
}
