package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// document is the OpenAPI description, made once.
type document struct{ json, yaml []byte }

// routes registers every endpoint.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       s.info(),
			Components: &huma.Components{Schemas: registry},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{translateErrors},
	}
	config.AllowAdditionalPropertiesByDefault = true // clients must bear fields of later versions
	desk := huma.NewAPI(config, humago.NewAdapter(mux, ""))
	s.jobRoutes(desk)
	s.careRoutes(desk)
	s.streamRoutes(desk)
	s.blobRoutes(desk)
	s.meshRoutes(desk)
	s.operatorRoutes(desk)
	s.chainRoutes(desk)
	s.networkRoutes(desk)
	if err := s.describe(desk.OpenAPI()); err != nil {
		return nil, fmt.Errorf("api: OpenAPI document: %w", err)
	}
	mux.HandleFunc("GET /openapi.json", serveBytes("application/openapi+json", s.openapi.json))
	mux.HandleFunc("GET /openapi.yaml", serveBytes("application/openapi+yaml", s.openapi.yaml))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}))
	s.dashboardRoutes(mux, s.index(desk.OpenAPI()))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeRefusal(w, Refuse(CodeNotFound, "see / for what is here", "there is no %s %s", r.Method, r.URL.Path))
	})
	return mux, nil
}

// info heads the OpenAPI document.
func (s *Server) info() *huma.Info {
	version := s.cfg.Version
	if version == "" {
		version = "dev"
	}
	return &huma.Info{Title: "CIRO mesh node", Version: version,
		Description: "The local interface of one node of a CIRO mesh. Refusals are problem documents (RFC 9457) with a stable code.",
		License:     &huma.License{Name: "MIT"},
	}
}

// describe finishes the OpenAPI document and renders it.
func (s *Server) describe(doc *huma.OpenAPI) error {
	for path, item := range doc.Paths { // any order: keys are only renamed
		if clean := strings.ReplaceAll(path, "...}", "}"); clean != path {
			doc.Paths[clean] = item
			delete(doc.Paths, path)
		}
	}
	// Our problem documents replace huma's.
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	yaml, err := doc.YAML()
	if err != nil {
		return err
	}
	s.openapi = document{json: raw, yaml: yaml}
	return nil
}

// index is the text at / for those who do not ask for HTML.
func (s *Server) index(doc *huma.OpenAPI) []byte {
	var b bytes.Buffer
	b.WriteString("CIRO mesh node. Everything here is for this machine unless its owner said otherwise.\n" +
		"A browser gets the dashboard at this address.\n\n")
	fmt.Fprintf(&b, "  %-7s%-32s%s\n", "GET", "/metrics", "Numbers for Prometheus")
	fmt.Fprintf(&b, "  %-7s%-32s%s\n", "GET", "/openapi.yaml", "This interface, described (also .json)")
	for _, path := range sortedKeys(doc.Paths) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				fmt.Fprintf(&b, "  %-7s%-32s%s\n", op.Method, path, op.Summary)
			}
		}
	}
	return b.Bytes()
}

// serveBytes answers with the same bytes every time.
func serveBytes(contentType string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(data) // a failure means that the client is gone
	}
}

// reply wraps a body the way huma expects it.
type reply[T any] struct{ Body T }

// nothing is the input of endpoints without parameters.
type nothing struct{}

// call registers an endpoint that answers with one JSON document. Errors become
// problem documents; those that are nobody's refusal go to the log.
func call[I, O any](s *Server, desk huma.API, op huma.Operation, h func(context.Context, *I) (O, error)) {
	huma.Register(desk, withProblems(op), func(ctx context.Context, in *I) (*reply[O], error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.problem(op.OperationID, err)
		}
		return &reply[O]{Body: out}, nil
	})
}

// raw registers an endpoint that reads the request or writes the answer itself.
// An error that it returns is answered, so it must not have written before.
func raw[I any](s *Server, desk huma.API, op huma.Operation, h func(http.ResponseWriter, *http.Request, *I) error) {
	huma.Register(desk, withProblems(op), func(_ context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			r, w := humago.Unwrap(hctx)
			if err := h(w, r, in); err != nil {
				refusal, ours := refusalOf(err)
				if ours {
					s.cfg.Log.Error("API request failed", "operation", op.OperationID, "error", err)
				}
				writeRefusal(w, refusal)
			}
		}}, nil
	})
}

// problem makes the error that huma writes as a problem document.
func (s *Server) problem(operation string, err error) error {
	refusal, ours := refusalOf(err)
	if ours {
		s.cfg.Log.Error("API request failed", "operation", operation, "error", err)
	}
	return problemError{problemOf(refusal)}
}

// withProblems documents the answer that any endpoint may give instead of its own.
func withProblems(op huma.Operation) huma.Operation {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "A refusal",
		Content:     map[string]*huma.MediaType{ProblemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
	}
	return op
}

// op starts the description of an endpoint.
func op(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary,
		Tags: []string{strings.SplitN(strings.TrimPrefix(path, "/"), "/", 2)[0]}}
}

// answers documents an answer that huma cannot see: a stream or content.
func answers(o huma.Operation, contentType, description string) huma.Operation {
	o.Responses = map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	return o
}
