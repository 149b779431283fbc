package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// relay delays all that a node sends. The route to the other nodes leads into a
// TUN device; what comes out of it is held back here and written to the device
// again, from where a second routing table sends it to the link.
type relay struct {
	space   *space
	tun     *os.File
	address string
	delayed atomic.Int64 // packets
	dropped atomic.Int64 // by the bound on what waits
	ended   chan struct{}
}

// relayRoom bounds the packets that wait in a relay.
const relayRoom = 8192

// relayTable is the routing table of what comes out of a relay.
const relayTable = "77"

// slower is the route into the device. It is narrower than the link's own, so
// that it wins while it is there.
const slower = prefix + "0/25"

type held struct {
	due    time.Time
	packet []byte
}

// newRelay turns the routes of a node towards a relay.
func newRelay(s *space, address string, delay time.Duration) (r *relay, err error) {
	r = &relay{space: s, address: address, ended: make(chan struct{})}
	if r.tun, err = openTUN(s); err != nil {
		return nil, err
	}
	line := make(chan held, relayRoom)
	go r.take(line, delay)
	go r.give(line)
	if err := r.turn(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// openTUN makes the device in a namespace.
func openTUN(s *space) (tun *os.File, err error) {
	err = s.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq("slow0")
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return errors.Join(fmt.Errorf("make a TUN device: %w", err), unix.Close(fd))
		}
		tun = os.NewFile(uintptr(fd), "slow0")
		return nil
	})
	return tun, err
}

// turn lets the routes go through the device.
func (r *relay) turn() error {
	err := r.space.do(func() error {
		var errs []error
		// Packets with this node's own address come in from the device and go on.
		for _, set := range []string{"ip_forward=1", "conf/all/rp_filter=0", "conf/slow0/rp_filter=0", "conf/slow0/accept_local=1"} {
			name, value, _ := strings.Cut(set, "=")
			errs = append(errs, os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0o644))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("prepare the relay: %w", err)
	}
	return r.space.ip("link set slow0 up", "rule add iif slow0 lookup "+relayTable,
		"route add "+prefix+"0/24 dev eth0 table "+relayTable,
		"route add blackhole default metric 9 table "+relayTable, // never back to the device, when the link is down
		"route add "+slower+" dev slow0 src "+r.address)
}

// take reads what the node sends. It ends when the device is closed.
func (r *relay) take(line chan<- held, delay time.Duration) {
	defer close(line)
	for {
		buf := make([]byte, 2048)
		n, err := r.tun.Read(buf)
		if err != nil {
			return
		}
		select {
		case line <- held{time.Now().Add(delay), buf[:n]}:
		default:
			r.dropped.Add(1)
		}
	}
}

// give writes each packet when its time has come.
func (r *relay) give(line <-chan held) {
	defer close(r.ended)
	for h := range line {
		time.Sleep(time.Until(h.due))
		if _, err := r.tun.Write(h.packet); err == nil {
			r.delayed.Add(1)
		}
	}
}

// close turns the routes back and ends the relay.
func (r *relay) close() error {
	err := r.space.ip("route del "+slower+" dev slow0", "rule del iif slow0 lookup "+relayTable, "route flush table "+relayTable)
	err = errors.Join(err, r.tun.Close())
	<-r.ended
	return err
}
