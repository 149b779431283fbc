package api

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// dashboardFiles are the page for browsers and what it is made of. They say
// nothing about this node or its mesh: the page asks the other endpoints.
//
//go:embed dashboard
var dashboardFiles embed.FS

// dashboardTypes are the media types of the files by extension; one of another
// kind does not belong there.
var dashboardTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// dashboardPolicy lets the page load its own files and ask its own node, and do
// nothing else: no inline script or style, no other origin, no frame, no form
// that goes anywhere, no text that becomes markup.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// asset is one file of the dashboard as it is sent.
type asset struct {
	contentType string
	etag        string
	data        []byte
}

// dashboard is the files by the path at which they are served. The page itself
// is at /; favicon.svg is also what browsers ask for by themselves.
func dashboard() (map[string]asset, error) {
	entries, err := dashboardFiles.ReadDir("dashboard")
	if err != nil {
		return nil, fmt.Errorf("api: dashboard: %w", err)
	}
	assets := map[string]asset{}
	for _, e := range entries {
		data, err := dashboardFiles.ReadFile(path.Join("dashboard", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("api: dashboard: %w", err)
		}
		contentType, known := dashboardTypes[path.Ext(e.Name())]
		if !known {
			return nil, fmt.Errorf("api: dashboard: no media type for %s", e.Name())
		}
		sum := sha256.Sum256(data)
		file := asset{contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, data: data}
		switch e.Name() {
		case "index.html":
			assets["/"] = file
		case "favicon.svg":
			assets["/favicon.svg"], assets["/favicon.ico"] = file, file
		default:
			assets["/dashboard/"+e.Name()] = file
		}
	}
	return assets, nil
}

// dashboardRoutes serves the page to browsers and its files to everybody; who
// does not ask for HTML gets the index.
func (s *Server) dashboardRoutes(mux *http.ServeMux, index []byte) {
	for name, file := range s.dashboard { // any order: paths do not overlap
		if name != "/" {
			mux.HandleFunc("GET "+name, file.serve)
		}
	}
	page, text := s.dashboard["/"], serveBytes("text/plain; charset=utf-8", index)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if wantsPage(r) {
			page.serve(w, r)
			return
		}
		text(w, r)
	})
}

// serve sends the file with everything that keeps it harmless. It is asked for
// anew each time, so that page and scripts are always those of one version.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", dashboardPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", a.etag)
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	serveBytes(a.contentType, a.data)(w, r)
}

// open reports whether a request is for a file of the dashboard. Those need no
// token: a browser cannot send one before a page has asked for it.
func (s *Server) open(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	_, known := s.dashboard[r.URL.Path]
	return known && (r.URL.Path != "/" || wantsPage(r))
}

// wantsPage reports whether the client would rather have HTML than plain text.
// Browsers name text/html; curl takes anything and gets text.
func wantsPage(r *http.Request) bool {
	var html, plain float64
	for _, field := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			name, params, _ := strings.Cut(part, ";")
			weight := 1.0
			for param := range strings.SplitSeq(params, ";") {
				key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if q, err := strconv.ParseFloat(value, 64); err == nil && strings.EqualFold(key, "q") {
					weight = q
				}
			}
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "text/html":
				html = max(html, weight)
			case "text/plain":
				plain = max(plain, weight)
			}
		}
	}
	return html > 0 && html >= plain
}
