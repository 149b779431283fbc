package jobspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxDepth is how deep a document may nest; the schema needs four levels.
const maxDepth = 32

// kind is what a value looks like before the schema says what it must be.
type kind uint8

const (
	kindText    kind = iota // quoted, or a plain word
	kindNumber              // text is the number as written
	kindBool                // text is as written
	kindNull                // no value
	kindList                // items
	kindMapping             // fields
)

// String is the name that errors use.
func (k kind) String() string {
	return [...]string{"text", "a number", "a truth value", "nothing", "a list", "a mapping"}[k]
}

// node is one value of a document, the same for YAML and JSON. Scalars keep
// the text as it was written, so that an address 0x123 stays one.
type node struct {
	kind   kind
	line   int
	text   string
	items  []*node
	fields []field
}

// field is one key of a mapping with its value.
type field struct {
	key   string
	line  int
	value *node
}

// add appends a field and refuses a key that is there already.
func (n *node) add(f field) error {
	for _, old := range n.fields {
		if old.key == f.key {
			return &lineError{f.line, fmt.Errorf("the key %q appears twice, first in line %d; remove one", f.key, old.line)}
		}
	}
	n.fields = append(n.fields, f)
	return nil
}

// lineError is an error at a line of the document.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

// parseTree turns a document into its tree: JSON when it is valid JSON, YAML
// otherwise.
func parseTree(data []byte) (*node, error) {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(data) {
		return parseJSON(data)
	}
	return parseYAML(data)
}

// parseYAML builds the tree of a YAML document.
func parseYAML(data []byte) (*node, error) {
	if err := checkNesting(data); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, yamlError(err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, &lineError{doc.Body.GetToken().Position.Line, errors.New("a second document begins here; write one job per file")}
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &lineError{1, errors.New("the document is empty; it needs at least a module")}
	}
	return fromYAML(body, 0)
}

// checkNesting refuses brackets nested deeper than any job needs before the
// recursive YAML parser sees them. Brackets inside texts count too: they are
// closed again where the text makes sense, and the bound is generous.
func checkNesting(data []byte) error {
	depth, line := 0, 1
	for _, c := range data {
		switch c {
		case '\n':
			line++
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > 100*maxDepth {
			return &lineError{line, errors.New("brackets nest too deep")}
		}
	}
	return nil
}

// yamlError shortens the parser's error to its line and sentence.
func yamlError(err error) error {
	var syntax interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
		return &lineError{syntax.GetToken().Position.Line, fmt.Errorf("no valid YAML: %s", syntax.GetMessage())}
	}
	return fmt.Errorf("no valid YAML: %w", err)
}

// fromYAML converts one YAML value.
func fromYAML(n ast.Node, depth int) (*node, error) {
	out := &node{line: lineOf(n)}
	if depth > maxDepth {
		return nil, &lineError{out.line, fmt.Errorf("values nest deeper than %d levels", maxDepth)}
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return mappingFromYAML(v.Values, out, depth)
	case *ast.MappingValueNode:
		return mappingFromYAML([]*ast.MappingValueNode{v}, out, depth)
	case *ast.SequenceNode:
		out.kind = kindList
		for _, item := range v.Values {
			child, err := fromYAML(item, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, child)
		}
	case *ast.StringNode:
		out.kind, out.text = kindText, v.Value
	case *ast.LiteralNode:
		out.kind, out.text = kindText, v.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = kindNumber, v.GetToken().Value
	case *ast.BoolNode:
		out.kind, out.text = kindBool, v.GetToken().Value
	case *ast.NullNode:
		out.kind = kindNull
	default:
		return nil, &lineError{out.line, errors.New("anchors, aliases, merge keys and tags are not part of job documents; write the value out")}
	}
	return out, nil
}

// mappingFromYAML converts the pairs of one mapping.
func mappingFromYAML(values []*ast.MappingValueNode, out *node, depth int) (*node, error) {
	out.kind = kindMapping
	for _, pair := range values {
		line := lineOf(pair.Key)
		switch pair.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		default:
			return nil, &lineError{line, errors.New("a key must be a plain word; anchors, merge keys and nested keys are not part of job documents")}
		}
		value, err := fromYAML(pair.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if value.kind == kindNull || value.line == 0 {
			value.line = line
		}
		if err := out.add(field{key: pair.Key.GetToken().Value, line: line, value: value}); err != nil {
			return nil, err
		}
	}
	if len(values) > 0 {
		out.line = out.fields[0].line
	}
	return out, nil
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// jsonReader builds the tree of a JSON document from its tokens.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	pos  int // bytes of data whose newlines are counted
	line int // the line at pos
}

func parseJSON(data []byte) (*node, error) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, &lineError{r.at(), errors.New("more follows after the document; write one job per file")}
	}
	return n, nil
}

// at returns the line of the token just read.
func (r *jsonReader) at() int {
	end := int(r.dec.InputOffset())
	r.line += bytes.Count(r.data[r.pos:end], []byte{'\n'})
	r.pos = end
	return r.line
}

func (r *jsonReader) value(depth int) (*node, error) {
	tok, err := r.dec.Token()
	if err != nil {
		return nil, &lineError{r.at(), fmt.Errorf("no valid JSON: %w", err)}
	}
	n := &node{line: r.at()}
	if depth > maxDepth {
		return nil, &lineError{n.line, fmt.Errorf("values nest deeper than %d levels", maxDepth)}
	}
	switch v := tok.(type) {
	case string:
		n.kind, n.text = kindText, v
	case json.Number:
		n.kind, n.text = kindNumber, v.String()
	case bool:
		n.kind, n.text = kindBool, strconv.FormatBool(v)
	case nil:
		n.kind = kindNull
	case json.Delim:
		return n, r.fill(n, v, depth)
	}
	return n, nil
}

// fill reads the rest of a list or mapping that began with open.
func (r *jsonReader) fill(n *node, open json.Delim, depth int) error {
	n.kind = kindList
	if open == '{' {
		n.kind = kindMapping
	}
	for r.dec.More() {
		f := field{}
		if n.kind == kindMapping {
			key, err := r.dec.Token()
			if err != nil {
				return &lineError{r.at(), fmt.Errorf("no valid JSON: %w", err)}
			}
			f.key, _ = key.(string) // json.Valid held, so it is one
			f.line = r.at()
		}
		child, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if n.kind == kindList {
			n.items = append(n.items, child)
			continue
		}
		f.value = child
		if err := n.add(f); err != nil {
			return err
		}
	}
	if _, err := r.dec.Token(); err != nil {
		return &lineError{r.at(), fmt.Errorf("no valid JSON: %w", err)}
	}
	return nil
}
