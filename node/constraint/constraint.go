package constraint

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Bounds of one expression beside job.MaxConstraints, its length in bytes.
const (
	MaxNodes   = 128  // operators, operands and calls
	maxClauses = 31   // one bit each, and one says that an expression is unreadable
	memory     = 4096 // elements that one evaluation may make
)

// Error says what is wrong with an expression and where.
type Error struct {
	Line    int // from 1
	Column  int // in characters, from 1
	Message string
	Unknown string   // the name that nobody knows, if that is what is wrong
	Known   []string // the names that may stand there
}

// Error names the place and the cause.
func (e *Error) Error() string {
	if e.Line > 1 {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
	return fmt.Sprintf("column %d: %s", e.Column, e.Message)
}

// Constraint is a compiled expression. It is not safe for concurrent use.
type Constraint struct {
	clauses  []string
	programs []*vm.Program
	machine  vm.VM
	env      env
}

// Compile reads an expression. What is wrong with it comes back as *Error.
func Compile(source string) (*Constraint, error) {
	if len(source) > job.MaxConstraints {
		return nil, &Error{Line: 1, Column: job.MaxConstraints + 1, Message: fmt.Sprintf("%d bytes are over %d", len(source), job.MaxConstraints)}
	}
	if !utf8.ValidString(source) {
		return nil, &Error{Line: 1, Column: 1, Message: "is no valid text"}
	}
	config := conf.New(env{})
	config.MaxNodes, config.Expect, config.ExpectAny = MaxNodes, reflect.Bool, true
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, place(source, err)
	}
	check := language{source: source}
	check.node(tree.Node)
	if check.err != nil {
		return nil, check.err
	}
	if _, err := compile(source, config); err != nil {
		return nil, place(source, err)
	}
	c := &Constraint{machine: vm.VM{MemoryBudget: memory}}
	for _, n := range clauses(tree.Node) {
		text := n.String()
		program, err := compile(text, config)
		if err != nil { // the printed form of what was compiled just now
			return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("the clause %s cannot be compiled alone: %v", text, err)}
		}
		c.clauses, c.programs = append(c.clauses, text), append(c.programs, program)
	}
	return c, nil
}

// compile makes a program of an expression that must be true or false. Making
// the configuration is the dear part, so one does for all clauses.
func compile(source string, config *conf.Config) (*vm.Program, error) {
	tree, err := checker.ParseCheck(source, config)
	if err != nil {
		return nil, err
	}
	if err := optimizer.Optimize(&tree.Node, config); err != nil {
		return nil, err
	}
	return compiler.Compile(tree, config)
}

// clauses splits a chain of ands into its parts, in order.
func clauses(n ast.Node) []ast.Node {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "and" && b.Operator != "&&" {
		return []ast.Node{n}
	}
	out := append(clauses(b.Left), clauses(b.Right)...)
	if len(out) > maxClauses {
		return []ast.Node{n}
	}
	return out
}

// place turns an error of the library into ours.
func place(source string, err error) *Error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Error{Line: 1, Column: 1, Message: err.Error()}
	}
	if at.Message == "unexpected token EOF" {
		at = &file.Error{Location: file.Location{From: utf8.RuneCountInString(source)}, Message: "the expression ends too early"}
	}
	line, column := position(source, at.From)
	return &Error{Line: line, Column: column, Message: at.Message}
}

// position turns a number of characters into line and column.
func position(source string, from int) (line, column int) {
	line, column = 1, 1
	for _, r := range source {
		if from--; from < 0 {
			break
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}

// Clauses returns the conditions that must all hold, as text.
func (c *Constraint) Clauses() []string { return slices.Clone(c.clauses) }

// Fails returns which of Clauses a worker does not meet: bit i is clause i.
func (c *Constraint) Fails(peer string, of *work.Capability) (clauses uint32) {
	c.env.fill(peer, of)
	for i, p := range c.programs {
		v, err := c.machine.Run(p, &c.env)
		if ok, isBool := v.(bool); err != nil || !isBool || !ok {
			clauses |= 1 << i
		}
	}
	return clauses
}

// Fields returns the names that an expression may use, in order.
func Fields() []string { return slices.Clone(names) }

// language walks an expression and refuses what is not part of the language.
type language struct {
	source string
	err    *Error
}

func (k *language) fail(n ast.Node, format string, args ...any) {
	if k.err != nil {
		return
	}
	line, column := position(k.source, n.Location().From)
	k.err = &Error{Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

func (k *language) nodes(list ...ast.Node) {
	for _, n := range list {
		k.node(n)
	}
}

var operators = []string{"and", "or", "&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "startsWith", "endsWith",
	"matches", "+", "-", "*", "/", "%"}

var functions = []string{"lower", "upper", "trim", "len", "int", "float"}

func (k *language) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		if !slices.Contains(names, n.Value) {
			k.unknown(n, "field", n.Value, names)
		}
	case *ast.UnaryNode:
		k.node(n.Node)
	case *ast.BinaryNode:
		k.binary(n)
	case *ast.ConditionalNode:
		k.nodes(n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		k.nodes(n.Nodes...)
	case *ast.MemberNode:
		k.member(n)
	case *ast.BuiltinNode:
		k.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			k.fail(n, "only %s can be called", strings.Join(functions, ", "))
			return
		}
		k.call(n, callee.Value, n.Arguments)
	default:
		k.fail(n, "this is not part of constraint expressions: no variables, closures, ranges, slices or mappings")
	}
}

func (k *language) call(n ast.Node, name string, args []ast.Node) {
	if !slices.Contains(functions, name) {
		k.unknown(n, "function", name, functions)
		return
	}
	k.nodes(args...)
}

func (k *language) binary(n *ast.BinaryNode) {
	if !slices.Contains(operators, n.Operator) {
		k.fail(n, "the operator %s is not part of constraint expressions", n.Operator)
		return
	}
	if _, literal := n.Right.(*ast.StringNode); n.Operator == "matches" && !literal {
		k.fail(n.Right, "the pattern of matches must be written out")
		return
	}
	k.nodes(n.Left, n.Right)
}

func (k *language) member(n *ast.MemberNode) {
	if n.Optional || n.Method {
		k.fail(n, "optional members and methods are not part of constraint expressions")
		return
	}
	base, _ := n.Node.(*ast.IdentifierNode)
	property, literal := n.Property.(*ast.StringNode)
	if base != nil && base.Value == "gpu" && (!literal || !slices.Contains(gpuNames, property.Value)) {
		name := "gpu[…]"
		if literal {
			name = "gpu." + property.Value
		}
		k.unknown(n, "field", name, []string{"gpu.count", "gpu.memory", "gpu.model"})
		return
	}
	k.nodes(n.Node, n.Property)
}

func (k *language) unknown(n ast.Node, what, name string, known []string) {
	if k.err != nil {
		return
	}
	k.fail(n, "unknown %s %q", what, name)
	k.err.Unknown, k.err.Known = name, known
}
