package api_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/node/api"
)

const (
	browserAccept = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	pageType      = "text/html; charset=utf-8"
	textType      = "text/plain; charset=utf-8"
)

// dashboardFiles reads the sources of the page by name.
func dashboardFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	dir := os.DirFS("dashboard")
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	if len(files) < 6 {
		t.Fatalf("only %d files in dashboard", len(files))
	}
	return files
}

// TestDashboardNegotiation: browsers get the page, everybody else the text.
func TestDashboardNegotiation(t *testing.T) {
	_, h := serve(t, nil)
	for _, tt := range []struct{ accept, want string }{
		{browserAccept, pageType},
		{"Accept: TEXT/HTML", pageType},
		{"Accept: text/plain;q=0.5, text/html", pageType},
		{"Accept: text/html;level=1;q=0.2", pageType},
		{"X-None: ", textType},
		{"Accept: */*", textType},
		{"Accept: text/*", textType},
		{"Accept: application/json", textType},
		{"Accept: text/html;q=0", textType},
		{"Accept: text/html;q=0.1, text/plain", textType},
		{"Accept: text/htmlx", textType},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := ask(h, method, "/", "", tt.accept)
			if got := w.Header().Get("Content-Type"); w.Code != 200 || got != tt.want || w.Header().Get("Vary") != "Accept" {
				t.Errorf("%s / with %q = %d %s (Vary %q); want %s", method, tt.accept, w.Code, got, w.Header().Get("Vary"), tt.want)
			}
		}
	}
	if text := ask(h, "GET", "/", "").Body.String(); !strings.Contains(text, "/jobs/{id}/events") || !strings.Contains(text, "dashboard") {
		t.Errorf("the index lacks an endpoint or does not mention the dashboard:\n%s", text)
	}
	wantProblem(t, ask(h, "GET", "/dashboard/", "", browserAccept), 404, api.CodeNotFound)
	wantProblem(t, ask(h, "GET", "/dashboard/index.html", ""), 404, api.CodeNotFound)
	wantProblem(t, ask(h, "POST", "/", "", browserAccept), 404, api.CodeNotFound)
}

// TestDashboardHeaders: what a browser is told to forbid.
func TestDashboardHeaders(t *testing.T) {
	_, h := serve(t, nil)
	for _, target := range []string{"/", "/dashboard/app.js", "/dashboard/style.css", "/favicon.svg", "/favicon.ico"} {
		w := ask(h, "GET", target, "", browserAccept)
		policy := w.Header().Get("Content-Security-Policy")
		for _, rule := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "base-uri 'none'",
			"form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !slices.Contains(strings.Split(policy, "; "), rule) {
				t.Errorf("%s: the policy lacks %s: %s", target, rule, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("%s: a loose policy: %s", target, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
			"Cross-Origin-Opener-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
			if got := w.Header().Get(name); w.Code != 200 || got != want {
				t.Errorf("%s = %d: %s is %q, want %q", target, w.Code, name, got, want)
			}
		}
		again := ask(h, "GET", target, "", browserAccept, "If-None-Match: "+w.Header().Get("Etag"))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s again = %d with %d bytes", target, again.Code, again.Body.Len())
		}
	}
}

// TestDashboardComplete: whatever the page and its scripts load is there, as
// what it is, and every endpoint that they ask answers.
func TestDashboardComplete(t *testing.T) {
	_, h := serve(t, nil)
	files := dashboardFiles(t)
	loaded := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(files["index.html"], -1) {
		loaded[m[1]] = true
	}
	for name, text := range files {
		for _, m := range regexp.MustCompile(`from "\./([a-z]+\.js)"`).FindAllStringSubmatch(text, -1) {
			loaded["/dashboard/"+m[1]] = true
		}
		if n := strings.Count(text, "\n"); n > 400 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
	for target := range loaded {
		w := ask(h, "GET", target, "")
		_, ext, _ := strings.Cut(target, ".")
		name := target[strings.LastIndex(target, "/")+1:]
		if w.Code != 200 || w.Header().Get("Content-Type") != types[ext] || w.Body.String() != files[name] {
			t.Errorf("GET %s = %d %s, %d bytes", target, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
	}
	if len(loaded) != len(files)-1 {
		t.Errorf("%d files are loaded of %d beside the page: %v", len(loaded), len(files)-1, loaded)
	}
	for _, m := range regexp.MustCompile(`(by|getElementById)\("([a-z-]+)"\)`).FindAllStringSubmatch(files["app.js"]+files["views.js"]+files["job.js"], -1) {
		if !strings.Contains(files["index.html"], `id="`+m[2]+`"`) {
			t.Errorf("a script looks for #%s, which the page does not have", m[2])
		}
	}
	for _, target := range []string{"/status", "/network/health", "/network/peers", "/network/shards", "/workers", "/jobs?limit=10", "/chain/status", "/chain/entries?limit=25&shard="} {
		if !strings.Contains(files["app.js"]+files["views.js"], target) {
			t.Errorf("no script asks for %s any more", target)
		}
		if strings.HasSuffix(target, "=") {
			target += "0"
		}
		if w := ask(h, "GET", target, ""); w.Code != 200 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("GET %s = %d", target, w.Code)
		}
	}
}

// TestDashboardIsInert: nothing comes from elsewhere, and no text can become
// markup or code, whatever a job is called.
func TestDashboardIsInert(t *testing.T) {
	for name, text := range dashboardFiles(t) {
		text = strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")
		for _, bad := range []string{
			`(?i)https?:`, `(?i)["'(\s]//[a-z]`, `(?i)\b(ws|data|blob|javascript):`, `@import`, `url\(`,
			`innerHTML`, `outerHTML`, `insertAdjacentHTML`, `createContextualFragment`, `DOMParser`, `document\.write`, `srcdoc`, `setHTML`,
			`\beval\(`, `\bFunction\(`, `setTimeout\(["'` + "`" + `]`, `import\(`, `localStorage`, `document\.cookie`, `console\.`,
			`<script(?:>| [^>]*>[^<])`, `<style`, `\sstyle=`, `\son[a-z]+=`, `<base`, `<iframe`, `<object`,
		} {
			if hit := regexp.MustCompile(bad).FindString(text); hit != "" {
				t.Errorf("%s contains %q (%s)", name, hit, bad)
			}
		}
		// Attribute names are literals of ours, so no datum becomes a handler.
		if hit := regexp.MustCompile(`setAttribute\([^k"]`).FindString(text); hit != "" {
			t.Errorf("%s sets an attribute by a computed name: %s", name, hit)
		}
	}
}

// TestDashboardToken: the page itself needs no token, everything that it shows does.
func TestDashboardToken(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Token = "s3cret" })
	for _, target := range []string{"/", "/dashboard/app.js", "/favicon.ico"} {
		if w := ask(h, "GET", target, "", browserAccept); w.Code != 200 || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("GET %s without a token = %d", target, w.Code)
		}
	}
	for _, tt := range []struct{ method, target, accept string }{
		{"GET", "/", "Accept: */*"}, {"POST", "/", browserAccept}, {"GET", "/dashboard/", browserAccept}, {"GET", "/dashboard/none.js", browserAccept},
		{"POST", "/dashboard/app.js", browserAccept}, {"GET", "/status", browserAccept}, {"GET", "/events", browserAccept}, {"GET", "//", browserAccept},
		{"GET", "/dashboard/../status", browserAccept}, {"GET", "/?token=s3cret", "Accept: */*"}, {"GET", "/status?token=s3cret", browserAccept},
	} {
		wantProblem(t, ask(h, tt.method, tt.target, "", tt.accept), 401, api.CodeUnauthorized)
	}
	wantProblem(t, ask(h, "GET", "/", "", browserAccept, "Host: evil.example"), 403, api.CodeForbidden)
	if w := ask(h, "GET", "/status", "", "Authorization: Bearer s3cret"); w.Code != 200 {
		t.Errorf("with the token = %d", w.Code)
	}
	script := dashboardFiles(t)["net.js"]
	if !strings.Contains(script, `"Bearer " + sent`) || regexp.MustCompile(`[?&]token`).MatchString(script) {
		t.Error("the page sends the token otherwise than as a header")
	}
}
