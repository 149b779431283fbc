package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// The limits of the server. Those that an operator may want to change are in
// [Config]; a zero there means the value here.
const (
	// MaxBlob is the largest upload in bytes: what a job may bring.
	MaxBlob = 100 << 20
	// MaxSpec is the largest job spec in bytes.
	MaxSpec = 1 << 20

	defaultStreams  = 256
	defaultRequests = 1024
	defaultRate     = 2000 // requests per second and client
	maxClients      = 4096 // clients whose rate is remembered
	maxHeader       = 64 << 10

	headerTimeout = 10 * time.Second // for the headers of a request
	callTimeout   = 60 * time.Second // for everything that is not a stream or content
	ioTimeout     = 30 * time.Second // for any single read or write of a stream or content
	idleTimeout   = 2 * time.Minute
	shutdownGrace = 5 * time.Second
	keepAlive     = 15 * time.Second // between comments on a quiet event stream
)

// Config is what a [Server] is made of. Jobs, Logs, Blobs, Mesh, Operator,
// Advice, Rounds, Chain and Log are required.
type Config struct {
	Jobs     Jobs
	Logs     Logs
	Blobs    Blobs
	Mesh     Mesh
	Operator Operator
	Advice   Advice
	Rounds   Rounds
	Chain    Chain
	Network  Network

	// Listen are host:port addresses; empty means 127.0.0.1:8080. An address
	// that is not loopback requires Token.
	Listen []string
	// FallbackPort lets a taken port be replaced by a free one: for defaults,
	// never for what a person asked for.
	FallbackPort bool
	// Token, if set, must come as bearer token with every request but those for
	// the dashboard's own files, which say nothing about the node.
	Token string
	// AllowedHosts are Host names accepted besides localhost and IP addresses.
	AllowedHosts []string
	// Gatherer feeds /metrics; nil serves an empty page.
	Gatherer prometheus.Gatherer
	Log      *slog.Logger
	// Version appears in the OpenAPI document.
	Version string

	// MaxStreams bounds open event and log streams, MaxRequests all requests
	// under way, Rate each client's requests per second (with bursts of twice
	// that). 0 means 256, 1024 and 2000.
	MaxStreams  int
	MaxRequests int
	Rate        float64
}

// Server is the HTTP interface of one node. New makes it, Listen binds it, Run
// serves until its context ends.
type Server struct {
	cfg       Config
	http      *http.Server
	listeners []net.Listener
	streams   gate
	requests  gate
	clients   *clientRates
	closing   chan struct{} // closed by Run when serving ends: streams end
	openapi   document
	dashboard map[string]asset // by path
}

// New checks cfg and prepares a server. It starts nothing and binds nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Jobs == nil || cfg.Logs == nil || cfg.Blobs == nil || cfg.Mesh == nil || cfg.Operator == nil ||
		cfg.Advice == nil || cfg.Rounds == nil || cfg.Chain == nil || cfg.Network == nil || cfg.Log == nil {
		return nil, errors.New("api: Jobs, Logs, Blobs, Mesh, Operator, Advice, Rounds, Chain, Network and Log are required")
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = []string{"127.0.0.1:8080"}
	}
	for _, addr := range cfg.Listen {
		if err := checkListen(addr, cfg.Token); err != nil {
			return nil, err
		}
	}
	if cfg.Gatherer == nil {
		cfg.Gatherer = prometheus.NewRegistry()
	}
	if cfg.Rate <= 0 {
		cfg.Rate = defaultRate
	}
	clients, err := newClientRates(cfg.Rate)
	if err != nil {
		return nil, fmt.Errorf("api: client table: %w", err)
	}
	files, err := dashboard()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:       cfg,
		streams:   newGate(cfg.MaxStreams, defaultStreams),
		requests:  newGate(cfg.MaxRequests, defaultRequests),
		clients:   clients,
		closing:   make(chan struct{}),
		dashboard: files,
	}
	mux, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           s.protect(mux),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// checkListen refuses an address that is malformed or open to others without a token.
func checkListen(addr, token string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("API address %q is not host:port: %w", addr, err)
	}
	if token == "" && !loopback(host) {
		return fmt.Errorf("API address %s is reachable from other machines and no token is set; "+
			"set api.token or listen on 127.0.0.1", addr)
	}
	return nil
}

// loopback reports whether host names this machine only.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Listen binds every address. When one is taken it fails naming it, or takes a
// free port on the same host if the configuration allows. On an error nothing
// stays bound. Call it once, before Run.
func (s *Server) Listen() error {
	for _, addr := range s.cfg.Listen {
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			l, err = s.fallback(addr, err)
		}
		if err != nil {
			for _, bound := range s.listeners {
				err = errors.Join(err, bound.Close())
			}
			s.listeners = nil
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	return nil
}

// fallback handles an address in use.
func (s *Server) fallback(addr string, cause error) (net.Listener, error) {
	if !s.cfg.FallbackPort {
		return nil, fmt.Errorf("API address %s is taken by another program; stop it or choose another address with --api: %w", addr, cause)
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("API address %q: %w", addr, err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("find a free port beside the taken %s: %w", addr, err)
	}
	s.cfg.Log.Info("default API port is taken, using a free one", "taken", addr, "using", l.Addr().String())
	return l, nil
}

// Addr is the first bound address as host:port, empty before Listen.
func (s *Server) Addr() string {
	if len(s.listeners) == 0 {
		return ""
	}
	return s.listeners[0].Addr().String()
}

// Run serves until ctx ends, lets requests under way finish for 5 s (streams
// end at once), and returns nil after a clean end. It binds first when Listen
// was not called. Call it once.
func (s *Server) Run(ctx context.Context) error {
	if len(s.listeners) == 0 {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	group, groupCtx := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		group.Go(func() error {
			if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-groupCtx.Done()
		close(s.closing)
		grace, done := context.WithTimeout(base, shutdownGrace)
		defer done()
		if err := s.http.Shutdown(grace); err != nil {
			cancel()
			return s.http.Close()
		}
		return nil
	})
	return group.Wait()
}

// Close lets go of what Listen bound, for a server that will not Run.
func (s *Server) Close() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Handler is the whole interface as an http.Handler, for tests and for serving
// behind another listener. Run must not be used with it.
func (s *Server) Handler() http.Handler { return s.http.Handler }
