// Command chaos runs a mesh of real processes under faults and checks that
// every promise made to a client was kept. It is a tool for those who work on
// this program: `make chaos` builds and runs it for three minutes, `make chaos
// MINUTES=30 SEED=7` for longer and again.
//
// # What it builds
//
// Seven `ciro start` processes, each with the network of its own: a network
// namespace with a veth pair into a bridge, which lies in one more namespace.
// No namespace has a name and nothing is made in the machine's own one, so the
// kernel takes all of it away with the last process, however this program ends;
// the processes are killed by the kernel when their parent dies. Where
// namespaces are not permitted it says so, runs the processes on loopback
// addresses and uses signals alone.
//
// # What it does to it
//
// Several clients submit small jobs through random nodes and repeat with the
// same idempotency key while the answer is "unavailable". Meanwhile a nemesis
// draws faults from a printed seed, every kind once and then at random:
//
//	kill coordinator   SIGKILL of a process that leads shards, restarted later
//	kill worker        SIGKILL of a process that runs tasks, restarted later
//	pause              SIGSTOP for longer than every timeout, then SIGCONT
//	halves             three nodes and four do not reach each other: blackhole routes
//	link down          one node's link is down
//	one way            one node hears nobody, but is heard: an nft rule
//	loss               every node loses a share of what arrives: nft, numgen random
//	delay              what one node sends arrives later: a relay of our own
//	lost disk          a process is killed and its data directory removed, only
//	                   while all shards are fully replicated: that is the promise
//
// The seed decides kinds, order, durations, amounts and preferred victims; when
// things happen to coincide is the machine's doing, so a seed reproduces a
// scenario and not a run.
//
// The relay is a TUN device in the node's namespace towards which its route is
// turned. What comes out is held back and written to the device again; a second
// routing table sends what comes from the device to the link. Netem would do
// the same, where it is there.
//
// # What it checks
//
// At the end all faults are healed, /health has to become complete on every
// node, and every acceptance that was ever given is looked at (see [Check]):
// its job is terminal and either completed, with one result for each task, or
// says why not; attempts grow and none was assigned twice; all observers saw
// the same event under the same cursor; the same submission is still the same
// job under the same log index. A process that ended by itself, or whose log
// has a panic, fails the run, and so does a kind of fault that this machine
// allows but that did not happen.
//
// Times are printed with their counts: failover (from the kill of a coordinator
// to the next accepted or assigned entry of each shard it led), reassignment
// (from the kill of a worker to the next attempt of each task it had), answers
// on the side of a minority, and catching up after a heal. They are asserted
// only as generous caps, since the machine is shared.
//
// It needs Linux, and for the faults of the network root, iproute2 and nftables.
package main
