package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// protect wraps the routes in everything a request must pass before one is
// reached, cheapest first.
func (s *Server) protect(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer s.recoverPanic(tracked, r)
		tracked.Header().Set("X-Content-Type-Options", "nosniff")
		control := http.NewResponseController(w)
		deadline := time.Now().Add(callTimeout)
		// Not every writer has deadlines (tests' recorders do not): then none apply.
		_ = control.SetReadDeadline(deadline)
		_ = control.SetWriteDeadline(deadline)
		if refusal := s.admit(r, origin); refusal != nil {
			writeRefusal(tracked, refusal)
			return
		}
		if !s.requests.enter() {
			writeRefusal(tracked, busy("too many requests are under way"))
			return
		}
		defer s.requests.leave()
		next.ServeHTTP(tracked, r)
	})
}

// admit decides whether a request may go on, by what its head says.
func (s *Server) admit(r *http.Request, origin *http.CrossOriginProtection) *Refusal {
	if !s.hostAllowed(r.Host) {
		return Refuse(CodeForbidden, "use localhost or an IP address, or add the name to api.allowed_hosts",
			"the host %q is not one of this node's", r.Host)
	}
	if err := origin.Check(r); err != nil {
		return Refuse(CodeForbidden, "send it from a program or from a page of this node",
			"a request that changes something came from another web origin")
	}
	if wait := s.clients.take(r.RemoteAddr); wait > 0 {
		refusal := busy("this client asks too often")
		refusal.RetryAfter = wait
		return refusal
	}
	if s.cfg.Token != "" && !s.open(r) && !tokenMatches(r.Header.Get("Authorization"), s.cfg.Token) {
		return Refuse(CodeUnauthorized, "send the header Authorization: Bearer TOKEN (ciro: --token or CIRO_API_TOKEN)",
			"the bearer token is missing or wrong")
	}
	return nil
}

// hostAllowed defends against DNS rebinding: an attacker's page can make a
// browser talk to this address only under a name, never under a bare IP.
func (s *Server) hostAllowed(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || net.ParseIP(host) != nil {
		return true
	}
	return slices.ContainsFunc(s.cfg.AllowedHosts, func(allowed string) bool { return strings.EqualFold(allowed, host) })
}

// tokenMatches compares in a time that does not depend on where they differ.
func tokenMatches(header, token string) bool {
	scheme, given, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// busy refuses for a limit that frees itself soon.
func busy(cause string) *Refusal {
	r := Refuse(CodeBusy, "try again in a moment", "%s", cause)
	r.RetryAfter = time.Second
	return r
}

// recoverPanic answers 500 for a handler that panicked, or breaks the
// connection when the answer had begun.
func (s *Server) recoverPanic(w *trackedWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && err == http.ErrAbortHandler {
		panic(p)
	}
	s.cfg.Log.Error("API handler panicked", "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.started {
		panic(http.ErrAbortHandler)
	}
	writeRefusal(w, Refuse(CodeInternal, "see the node's log", "the node failed to answer"))
}

// trackedWriter knows whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	started bool
}

// WriteHeader notes that the answer has begun.
func (w *trackedWriter) WriteHeader(status int) {
	w.started = true
	w.ResponseWriter.WriteHeader(status)
}

// Write notes that the answer has begun.
func (w *trackedWriter) Write(p []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// gate bounds how many are inside at once.
type gate chan struct{}

// newGate makes a gate for n, or for the default when n is not positive.
func newGate(n, byDefault int) gate {
	if n <= 0 {
		n = byDefault
	}
	return make(gate, n)
}

// enter reports whether there was room; who entered must leave.
func (g gate) enter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }

// clientRates limits each client's request rate. The table is bounded: under
// more clients than it holds, those unheard longest start afresh.
type clientRates struct {
	perSecond float64
	table     *lru.Cache[string, *rate.Limiter]
}

func newClientRates(perSecond float64) (*clientRates, error) {
	table, err := lru.New[string, *rate.Limiter](maxClients)
	if err != nil {
		return nil, err
	}
	return &clientRates{perSecond: perSecond, table: table}, nil
}

// take uses one request of the client's budget; a positive result is how long
// to wait instead.
func (c *clientRates) take(remote string) time.Duration {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	limiter, known := c.table.Get(host)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(c.perSecond), max(1, int(2*c.perSecond)))
		if earlier, raced, _ := c.table.PeekOrAdd(host, limiter); raced {
			limiter = earlier
		}
	}
	if limiter.Allow() {
		return 0
	}
	return time.Duration(float64(time.Second) / c.perSecond)
}
