package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// majorityLost says that a majority of a shard's voters has been unreachable
// for a while, who they are, and what can be done; "" if it is not so.
func (n *Node) majorityLost(k known) string {
	if len(k.Voters) == 0 || time.Since(k.at) < staleAfter {
		return ""
	}
	connected := n.dir.members(true)
	var away []string
	for _, v := range k.Voters {
		p, err := peer.Decode(v)
		if err == nil && v != n.self && !connected[p].connected {
			away = append(away, v)
		}
	}
	if 2*(len(k.Voters)-len(away)) > len(k.Voters) {
		return ""
	}
	return fmt.Sprintf("shard %d: %d of %d voters cannot be reached, last heard of %s ago: nothing can be decided without a majority; start %s again, or, if they are lost for good: ciro network recover-shard %d --lost %s",
		k.Shard, len(away), len(k.Voters), time.Since(k.at).Round(time.Second), strings.Join(away, ", "), k.Shard, strings.Join(away, " --lost "))
}
