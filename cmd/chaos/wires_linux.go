package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A fault of each kind has an nft table of its own in a node's namespace.
const (
	oneWayTable = "ciro_one_way"
	lossTable   = "ciro_loss"
)

// halves parts three nodes from four by blackhole routes.
func (n *nemesis) halves(pick []*member) (heal, error) {
	small := pick[:len(n.members)/2]
	in := map[*member]bool{}
	for _, m := range small {
		in[m] = true
	}
	route := func(verb string) error {
		var errs []error
		for _, a := range n.members {
			var lines []string
			for _, b := range n.members {
				if in[a] != in[b] {
					lines = append(lines, "route "+verb+" blackhole "+b.address+"/32")
				}
			}
			errs = append(errs, a.space.ip(lines...))
		}
		return errors.Join(errs...)
	}
	if err := route("add"); err != nil {
		return nil, err
	}
	cut := int64(0)
	for _, a := range n.members {
		for _, b := range n.members {
			if _, err := a.space.run("", "ip", "route", "get", b.address); err != nil && in[a] != in[b] {
				cut++
			}
		}
	}
	n.load.answers.side(small)
	n.injured.note(Halves, cut)
	n.say("%s: %s apart from the others, %d directions are black holes", Halves, names(small), cut)
	return func(context.Context) error {
		n.say("halves are joined again")
		return route("del")
	}, nil
}

func names(ms []*member) string {
	text := ""
	for i, m := range ms {
		if i > 0 {
			text += ", "
		}
		text += m.name
	}
	return text
}

var isDown = regexp.MustCompile(`state DOWN`)

// linkDown takes a node's link away.
func (n *nemesis) linkDown(m *member) (heal, error) {
	if err := m.space.ip("link set eth0 down"); err != nil {
		return nil, err
	}
	if shown, err := m.space.run("", "ip", "-o", "link", "show", "eth0"); err == nil && isDown.MatchString(shown) {
		n.injured.note(LinkDown, 1)
	}
	n.load.answers.side([]*member{m})
	n.say("%s: %s", LinkDown, m.name)
	return func(context.Context) error {
		n.say("link of %s up", m.name)
		return m.space.ip("link set eth0 up")
	}, nil
}

// oneWay lets a node hear nobody, while it is heard.
func (n *nemesis) oneWay(m *member) (heal, error) {
	if err := drop(m, oneWayTable, "counter drop"); err != nil {
		return nil, err
	}
	n.load.answers.side([]*member{m})
	n.say("%s: %s hears nobody", OneWay, m.name)
	return func(context.Context) error {
		packets, err := undrop(m, oneWayTable)
		n.injured.note(OneWay, packets)
		n.say("%s hears again, %d packets did not reach it", m.name, packets)
		return err
	}, nil
}

// loss lets every node lose a share of what arrives.
func (n *nemesis) loss(s Step) (heal, error) {
	for i, m := range n.members {
		if err := drop(m, lossTable, fmt.Sprintf("numgen random mod 1000 < %d counter drop", s.Amount)); err != nil {
			for _, m := range n.members[:i] {
				_, undo := undrop(m, lossTable)
				err = errors.Join(err, undo)
			}
			return nil, err
		}
	}
	n.say("%s: every node loses %.1f %% of what arrives", Loss, float64(s.Amount)/10)
	return func(context.Context) error {
		var errs []error
		total := int64(0)
		for _, m := range n.members {
			packets, err := undrop(m, lossTable)
			total += packets
			errs = append(errs, err)
		}
		n.injured.note(Loss, total)
		n.say("no loss any more, %d packets were lost", total)
		return errors.Join(errs...)
	}, nil
}

// drop makes a rule for what comes in over the link.
func drop(m *member, table, rule string) error {
	return m.space.nft("add table inet "+table, "add chain inet "+table+" in { type filter hook input priority 0; }",
		"add rule inet "+table+` in iifname "eth0" `+rule)
}

var counted = regexp.MustCompile(`counter packets (\d+)`)

// undrop takes the rule away and says how many packets it has met.
func undrop(m *member, table string) (packets int64, err error) {
	shown, err := m.space.run("", "nft", "list", "table", "inet", table)
	if err != nil {
		return 0, err
	}
	if found := counted.FindStringSubmatch(shown); found != nil {
		if packets, err = strconv.ParseInt(found[1], 10, 64); err != nil {
			return 0, err
		}
	}
	return packets, m.space.nft("delete table inet " + table)
}

// delay lets what one node sends arrive later.
func (n *nemesis) delay(s Step, m *member) (heal, error) {
	r, err := newRelay(m.space, m.address, time.Duration(s.Amount)*time.Millisecond)
	if err != nil {
		return nil, err
	}
	n.say("%s: what %s sends comes %d ms later", Delay, m.name, s.Amount)
	return func(context.Context) error {
		err := r.close()
		n.injured.note(Delay, r.delayed.Load())
		n.say("%s is prompt again, %d packets were delayed, %d had no room", m.name, r.delayed.Load(), r.dropped.Load())
		return err
	}, nil
}

// probeMachine makes the network of a run and says which kinds of faults this
// machine allows, and why not the others.
func probeMachine(nodes int, signalsOnly bool) (w *web, kinds []Kind, refused map[Kind]string) {
	kinds, refused = []Kind{KillCoordinator, KillWorker, Pause, LostDisk}, map[Kind]string{}
	err := errors.New("--signals was given")
	if !signalsOnly {
		w, err = newWeb(nodes)
	}
	if err != nil {
		for _, k := range []Kind{Halves, LinkDown, OneWay, Loss, Delay} {
			refused[k] = "no network namespaces: " + err.Error()
		}
		return nil, kinds, refused
	}
	kinds = append(kinds, Halves, LinkDown)
	trial := &member{space: w.nodes[0], address: prefix + "1"}
	for kind, try := range map[Kind]func() error{
		OneWay: func() error { return rules(trial, "counter drop") },
		Loss:   func() error { return rules(trial, "numgen random mod 1000 < 0 counter drop") },
		Delay: func() error {
			r, err := newRelay(trial.space, trial.address, 0)
			if err != nil {
				return err
			}
			return r.close()
		},
	} { // any order: sorted below
		if err := try(); err != nil {
			refused[kind] = err.Error()
			continue
		}
		kinds = append(kinds, kind)
	}
	return w, inOrder(kinds), refused
}

func rules(m *member, rule string) error {
	if err := drop(m, lossTable, rule); err != nil {
		return err
	}
	_, err := undrop(m, lossTable)
	return err
}

// inOrder sorts kinds as the report has them.
func inOrder(kinds []Kind) (out []Kind) {
	has := map[Kind]bool{}
	for _, k := range kinds {
		has[k] = true
	}
	for _, k := range allKinds {
		if has[k] {
			out = append(out, k)
		}
	}
	return out
}
