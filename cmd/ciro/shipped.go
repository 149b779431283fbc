package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/ciro-network/ciro/examples"
	"github.com/ciro-network/ciro/node/jobspec"
)

// template is a job that ships with the program.
type template struct {
	spec []byte                            // YAML
	open func(name string) ([]byte, error) // the files it names
}

// shippedTemplate finds a job in the program by its type or name.
func shippedTemplate(typeOrName string) (template, bool) {
	t, ok := examples.Find(typeOrName)
	if !ok {
		return template{}, false
	}
	return template{spec: t.Spec, open: t.Open}, true
}

// templateOffer takes a document from the program itself, by its type, by another
// name of that type, or by its own name.
func (c *console) templateOffer(kind string) (offer, error) {
	shipped, ok := c.templates(kind)
	if !ok {
		canonical, known := jobspec.Canonical(kind)
		if !known {
			if near, ok := jobspec.Nearest(kind, jobspec.Types()); ok {
				return offer{}, usage("there is no job type %q; did you mean %q?", kind, near)
			}
			return offer{}, usage("there is no job type %q; there are %s", kind, strings.Join(jobspec.Types(), ", "))
		}
		if shipped, ok = c.templates(canonical); !ok {
			return offer{}, usage("no job of type %s ships with the program; write a job FILE and submit that", canonical)
		}
	}
	doc, err := jobspec.Parse(shipped.spec, kind)
	if err != nil {
		return offer{}, fmt.Errorf("template: %w", err)
	}
	return offer{doc: doc, open: shipped.file}, nil
}

// file is a file of the template as an offer opens it.
func (t template) file(name string) (io.ReadCloser, int64, error) {
	data, err := t.open(name)
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), err
}

// orShipped opens a document's files as open does. The large files of the jobs
// that ship with the program are stored compressed or made when they are wanted:
// a file that is not there is taken from the program if it has one of that name
// for a job of that name, and the user is told.
func (c *console) orShipped(doc *jobspec.Document, open func(string) (io.ReadCloser, int64, error)) func(string) (io.ReadCloser, int64, error) {
	var told []string
	return func(path string) (io.ReadCloser, int64, error) {
		body, length, err := open(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return body, length, err
		}
		var named struct{ Name string }
		if json.Unmarshal(doc.JSON(), &named) != nil {
			return nil, 0, err
		}
		shipped, ok := c.templates(named.Name)
		if !ok {
			return nil, 0, err
		}
		body, length, none := shipped.file(path)
		if none != nil {
			return nil, 0, err
		}
		if !slices.Contains(told, path) {
			told = append(told, path)
			fmt.Fprintf(c.err, "%s is not there: taking the one that ships with the program\n", path)
		}
		return body, length, nil
	}
}
