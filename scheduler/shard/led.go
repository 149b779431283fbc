package shard

// tellLed reports the group when it has changed.
func (r *Replica) tellLed() {
	if !r.stirred && r.told != nil {
		return
	}
	r.stirred = false
	st := r.rn.BasicStatus()
	now := Led{
		Term: st.GetTerm(), Leader: r.peerOf(st.Lead), Mine: r.lead != nil && r.lead.ready, Voters: r.led.Voters, Learners: r.led.Learners,
	}
	moved := r.told != r.conf // after most steps it is not
	if moved {
		r.told = r.conf
		now.Voters, now.Learners = r.peersOf(r.conf.GetVoters()), r.peersOf(r.conf.GetLearners())
	}
	if now.Term == r.led.Term && now.Leader == r.led.Leader && now.Mine == r.led.Mine &&
		(!moved || same(now.Voters, r.led.Voters) && same(now.Learners, r.led.Learners)) {
		return
	}
	r.led = now
	r.do(now)
}

func same(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func (r *Replica) peerOf(id uint64) string {
	if m, ok := r.state.Members[id]; ok {
		return m.Peer
	}
	return r.routes[id]
}

func (r *Replica) peersOf(ids []uint64) []string {
	var out []string
	for _, id := range ids {
		if p := r.peerOf(id); p != "" {
			out = append(out, p)
		}
	}
	return out
}
