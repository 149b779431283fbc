package sim

import (
	"math/rand/v2"
	"slices"
	"time"
)

// nemesis is one kind of fault: how many nodes a line must name, how a random
// one is drawn, and what it does. start says whether there was anything to do.
type nemesis struct {
	least int
	about string
	draw  func(p *planner) Fault
	start func(w *world, f Fault) bool
}

// ofFaults are the names of all nemeses in the order in which they are shown.
var ofFaults = []string{
	"crash", "halves", "ring", "bridge", "oneway", "flap", "swizzle", "isolate", "pause", "slowdisk", "slowlink",
	"loss", "duplicate", "reorder", "churn", "jump", "drift", "full", "leave", "mixed", "liar", "hostile",
}

// Kinds returns the names of all kinds of faults.
func Kinds() []string { return slices.Clone(ofFaults) }

// Help says what a kind of fault does and what its line may hold.
func Help(kind string) string { return nemeses()[kind].about }

// nemeses makes the table; a variable could not hold it, since what a fault does
// leads back to it.
func nemeses() map[string]*nemesis {
	return map[string]*nemesis{
		"crash":     {1, "nodes crash, lose what was not synced, come back after for=; wipe: without their disk, where G1 allows it", drawCrash, (*world).startCrash},
		"halves":    {1, "the nodes named are cut off from the others", drawSide(2), cut(halves)},
		"ring":      {0, "every node hears the nearer half of a ring, no two the same majority", drawNobody, startRing},
		"bridge":    {1, "two halves that only the first node named connects; the others named are one half", drawBridge, cut(bridge)},
		"oneway":    {1, "nothing goes from the nodes named to the others", drawSide(1), cut(oneway)},
		"flap":      {1, "the nodes named are cut off and joined again every by=", drawFlap, cut(flap)},
		"swizzle":   {2, "the nodes named lose the network one by one and get it back in the order of their numbers", drawSwizzle, cut(swizzle)},
		"isolate":   {1, "each node named is cut off from all others", drawIsolate, cut(isolate)},
		"pause":     {1, "nodes stand still", drawPause, (*world).startPause},
		"slowdisk":  {1, "a sync takes about by= on the nodes named", drawSlowDisk, onNodes(func(n *node, f Fault) { n.slow = f.By }, func(n *node) { n.slow, n.slowEnd = 0, n.w.now })},
		"slowlink":  {2, "messages between the nodes named take by= longer", drawSlowLink, (*world).startWeather},
		"loss":      {0, "the share rate= of all messages is lost", drawShare(0.4), (*world).startWeather},
		"duplicate": {0, "the share rate= of all messages comes twice", drawShare(0.5), (*world).startWeather},
		"reorder":   {0, "the share rate= of all messages is held back, at most by=", drawReorder, (*world).startWeather},
		"churn":     {0, "nodes leave or crash and come back, some without their disk, the share rate= of all per hour", drawChurn, (*world).startChurn},
		"jump":      {1, "the wall clocks of the nodes named jump by by=", drawJump, (*world).startJump},
		"drift":     {1, "the clocks of the nodes named run rate= times as fast", drawDrift, (*world).startDrift},
		"full":      {1, "the disks of the nodes named are full: a node stops when it has to store something and comes back with space", drawFull, onNodes(func(n *node, _ Fault) { n.full = true }, (*node).roomy)},
		"leave":     {1, "nodes hand over and back what they have, stop cleanly, come back; wipe as for crash", drawLeave, (*world).startLeave},
		"mixed":     {2, "the first node named leaves for good long enough to be replaced; when the replacement is under way, the others leave, crash or lead no more", drawMixed, (*world).startMixed},
		"liar":      {1, "the workers named lie: wrong results, others' attempts, two reports for one attempt", drawLiar, (*world).startLiar},
		"hostile":   {1, "the nodes named, which are no coordinators, replay what they have heard and flood, under their own name", drawHostile, (*world).startHostile},
	}
}

// planner draws a script.
type planner struct {
	rng   *rand.Rand
	nodes int
}

// Plan draws the script of a configuration: what its seed and Faults make go
// wrong.
func Plan(c Config) []Fault {
	c = c.withDefaults()
	p := &planner{rng: rand.New(rand.NewPCG(c.Seed, 0xfa17)), nodes: c.Nodes}
	out := []Fault{}
	if c.Faults.Churn > 0 {
		out = append(out, Fault{At: firstFault, Kind: "churn", For: max(0, c.Duration-firstFault), Rate: c.Faults.Churn})
	}
	if len(c.Faults.Kinds) == 0 {
		return out
	}
	for at := firstFault; at < c.Duration; at += p.span(c.Faults.Gap, 6*c.Faults.Gap) {
		kind := c.Faults.Kinds[p.rng.IntN(len(c.Faults.Kinds))]
		n := nemeses()[kind]
		if n.least > c.Nodes || kind == "hostile" && c.Nodes < 4 {
			continue
		}
		f := n.draw(p)
		f.At, f.Kind = at, kind
		out = append(out, f)
	}
	return out
}

// firstFault is when the first fault happens: the groups have begun to grow.
const firstFault = 3 * time.Second

func (p *planner) chance(x float64) bool { return p.rng.Float64() < x }

// span draws a duration in whole milliseconds, so that scripts are readable.
func (p *planner) span(lo, hi time.Duration) time.Duration {
	return (lo + time.Duration(p.rng.Int64N(int64(hi-lo)+1))).Truncate(time.Millisecond)
}

// some draws so many nodes, in random order.
func (p *planner) some(n int) []int { return p.rng.Perm(p.nodes)[:min(n, p.nodes)] }

func drawCrash(p *planner) Fault {
	f := Fault{Nodes: p.some(1), For: p.span(300*time.Millisecond, 6*time.Second), Wipe: p.chance(0.3)}
	if p.chance(0.1) { // most at once: whole groups go down
		f.Nodes, f.Wipe = p.some((p.nodes*3+4)/5), false
	}
	return f
}

func drawNobody(p *planner) Fault { return Fault{For: p.span(500*time.Millisecond, 5*time.Second)} }

// drawSide names a random part of the nodes, smaller than one of div.
func drawSide(div int) func(*planner) Fault {
	return func(p *planner) Fault {
		f := drawNobody(p)
		f.Nodes = p.some(1 + p.rng.IntN(max(1, p.nodes/div)))
		return f
	}
}

func drawBridge(p *planner) Fault {
	f := drawNobody(p)
	f.Nodes = p.some(1 + p.nodes/2)
	return f
}

func drawFlap(p *planner) Fault {
	f := drawSide(2)(p)
	f.By = p.span(100*time.Millisecond, 900*time.Millisecond)
	return f
}

func drawSwizzle(p *planner) Fault {
	return Fault{Nodes: p.some(max(2, p.nodes*2/3)), For: p.span(2*time.Second, 6*time.Second)}
}

func drawIsolate(p *planner) Fault {
	f := drawNobody(p)
	f.Nodes = p.some(1)
	return f
}

func drawPause(p *planner) Fault {
	f := Fault{Nodes: p.some(1), For: p.span(200*time.Millisecond, 3*time.Second)}
	if p.chance(0.3) { // longer than every timeout of the shards, see params
		f.For = p.span(3*time.Second, 12*time.Second)
	}
	return f
}

func drawSlowDisk(p *planner) Fault {
	return Fault{Nodes: p.some(1), For: p.span(time.Second, 5*time.Second), By: p.span(50*time.Millisecond, 800*time.Millisecond)}
}

func drawSlowLink(p *planner) Fault {
	return Fault{Nodes: p.some(2), For: p.span(time.Second, 5*time.Second), By: p.span(100*time.Millisecond, 2*time.Second)}
}

func drawShare(most float64) func(*planner) Fault {
	return func(p *planner) Fault {
		return Fault{For: p.span(500*time.Millisecond, 4*time.Second), Rate: float64(1+p.rng.IntN(int(most*100))) / 100}
	}
}

func drawReorder(p *planner) Fault {
	f := drawShare(0.5)(p)
	f.By = p.span(50*time.Millisecond, 600*time.Millisecond)
	return f
}

func drawChurn(p *planner) Fault {
	return Fault{For: p.span(2*time.Second, 6*time.Second), Rate: float64(500 + p.rng.IntN(1000))}
}

func drawJump(p *planner) Fault {
	f := Fault{Nodes: p.some(1), By: p.span(time.Second, time.Minute)}
	if p.chance(0.3) {
		f.By = p.span(time.Minute, 30*time.Minute)
	}
	if p.chance(0.5) {
		f.By = -f.By
	}
	return f
}

func drawDrift(p *planner) Fault {
	return Fault{Nodes: p.some(1), For: p.span(2*time.Second, 8*time.Second), Rate: 0.95 + float64(p.rng.IntN(101))/1000}
}

func drawFull(p *planner) Fault {
	return Fault{Nodes: p.some(1), For: p.span(500*time.Millisecond, 5*time.Second)}
}

func drawLeave(p *planner) Fault {
	return Fault{Nodes: p.some(1), For: p.span(500*time.Millisecond, 6*time.Second), Wipe: p.chance(0.3)}
}

func drawMixed(p *planner) Fault {
	return Fault{Nodes: p.some(3), For: p.span(7*time.Second, 10*time.Second), Wipe: p.chance(0.5)}
}

func drawLiar(p *planner) Fault {
	return Fault{Nodes: p.some(1), For: p.span(time.Second, 5*time.Second)}
}

// drawHostile names the last node, so that the others can be three coordinators.
func drawHostile(p *planner) Fault {
	f := drawLiar(p)
	f.Nodes = []int{p.nodes - 1}
	return f
}
