// Package placement says which node should do what, by rendezvous hashing
// (highest random weight; Thaler and Ravishankar, 1998): every participant
// that knows the same names computes the same answer without talking, and when
// a name comes or goes only its own share moves.
//
// A weight is the first eight bytes of SHA-256 over the key's length, the key
// and the name; the highest weight wins and equal weights go to the smaller
// name. The function is part of the protocol: nodes of different releases must
// agree, so it never changes.
//
// Placement is a wish. Who really votes and leads is what a shard's own Raft
// configuration says; leaders close the difference one change at a time.
package placement

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// Attachment of workers to shards.
const (
	AttachAll  = 16 // up to so many shards a worker attaches to all of them
	AttachSome = 8  // else to so many
)

func weigh(key, name string) uint64 {
	b := make([]byte, 0, 128)
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = append(b, key...)
	b = append(b, name...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:8])
}

// Rank returns the nodes in the order in which they should serve the key, the
// best first, each name once. The argument is left as it is.
func Rank(key string, nodes []string) []string {
	type weighed struct {
		name   string
		weight uint64
	}
	all := make([]weighed, len(nodes))
	for i, n := range nodes {
		all[i] = weighed{n, weigh(key, n)}
	}
	slices.SortFunc(all, func(a, b weighed) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = w.name
	}
	return slices.Compact(out)
}

// ShardKey is the key of one shard of a network, given by its genesis hash.
func ShardKey(network [32]byte, shard uint32) string {
	return string(network[:]) + "/" + strconv.FormatUint(uint64(shard), 10)
}

// Preferred says which of its voters should lead each shard, so that leaders
// spread: shards in ascending order, each given to the first voter in rendezvous
// order that leads fewer than ceil(S/n)+1 so far, for S shards and n different
// voters. Where every voter of a shard is at that bound, the one that leads
// least is taken. Shards without voters are not in the result. keys is ShardKey
// of the network.
func Preferred(voters map[uint32][]string, keys func(uint32) string) map[uint32]string {
	shards := make([]uint32, 0, len(voters))
	leads := map[string]int{}
	// any order: sorted below, and leads is filled with zeros
	for shard, vs := range voters {
		shards = append(shards, shard)
		for _, v := range vs {
			leads[v] = 0
		}
	}
	out := make(map[uint32]string, len(shards))
	if len(leads) == 0 {
		return out
	}
	slices.Sort(shards)
	bound := (len(shards)+len(leads)-1)/len(leads) + 1
	for _, shard := range shards {
		ranked := Rank(keys(shard), voters[shard])
		if len(ranked) == 0 {
			continue
		}
		at := slices.IndexFunc(ranked, func(v string) bool { return leads[v] < bound })
		chosen := ranked[max(at, 0)]
		if at < 0 {
			chosen = slices.MinFunc(ranked, func(a, b string) int { return cmp.Compare(leads[a], leads[b]) })
		}
		leads[chosen]++
		out[shard] = chosen
	}
	return out
}

// Attach returns the shards that a worker serves, in ascending order: all when
// there are at most AttachAll, else the AttachSome best for it.
func Attach(network, worker string, shards uint32) []uint32 {
	if shards <= AttachAll {
		out := make([]uint32, shards)
		for i := range out {
			out[i] = uint32(i)
		}
		return out
	}
	names := make([]string, shards)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	out := make([]uint32, 0, AttachSome)
	for _, name := range Rank(network+"/"+worker, names)[:AttachSome] {
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			continue // the names are our own
		}
		out = append(out, uint32(n))
	}
	slices.Sort(out)
	return out
}

// refreshes are the full reports of leaderships that a node hears per second, at
// most: what it hears without any role does not grow with the mesh.
const refreshes = 2

// RefreshEvery returns how often a leader says again what it leads though
// nothing has changed, for those who have missed it: every five seconds, less
// often where there are so many shards that this would be more than refreshes
// reports a second.
func RefreshEvery(shards uint32) time.Duration {
	return max(5*time.Second, time.Duration(shards)*time.Second/refreshes)
}
