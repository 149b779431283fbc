package job

// taskMoves is the table of legal moves of a task.
var taskMoves = [5][5]bool{
	Queued:      {Assigned: true, Dead: true},
	Assigned:    {TaskRunning: true, Queued: true, Dead: true},
	TaskRunning: {Done: true, Queued: true, Dead: true},
	Done:        {Queued: true}, // outputs lost
	Dead:        {Queued: true}, // the next round
}

// jobMoves is the table of legal moves of a job.
var jobMoves = [6][6]bool{
	Pending:    {Running: true, Failed: true, Cancelled: true},
	Running:    {Assembling: true, Completed: true, Failed: true, Cancelled: true},
	Assembling: {Completed: true, Running: true, Failed: true, Cancelled: true},
	Completed:  {},
	Failed:     {Pending: true, Running: true, Assembling: true}, // the next round
	Cancelled:  {},
}

// LegalTask says whether a task may go from one state to another.
func LegalTask(from, to TaskState) bool { return taskMoves[from][to] }

// LegalJob says whether a job may go from one state to another.
func LegalJob(from, to JobState) bool { return jobMoves[from][to] }

// moveTask makes one move and keeps the counts. An illegal move is a bug in
// Apply: every replica would panic at the same entry, so it is refused instead
// and the caller turns the command into a no-op.
func (j *Job) moveTask(position int, to TaskState) bool {
	t := &j.Tasks[position]
	if !LegalTask(t.State, to) {
		return false
	}
	if position < int(j.Spec.Tasks) {
		j.counts[t.State]--
		j.counts[to]++
	}
	t.State = to
	return true
}

func (j *Job) moveJob(to JobState) bool {
	if !LegalJob(j.State, to) {
		return false
	}
	j.State = to
	return true
}
