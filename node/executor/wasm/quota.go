package wasm

import (
	"errors"
	"fmt"
	"syscall"

	expsys "github.com/tetratelabs/wazero/experimental/sys"

	"github.com/ciro-network/ciro/node/executor"
)

// quota counts what a guest keeps in its writable folders. It is exact, since
// nobody else writes there during an attempt and hard links cannot be made:
// an inode is charged from when it is made or first opened for writing until
// it has neither a name nor an open file. Used by the guest's one thread.
type quota struct {
	maxBytes, maxFiles uint64
	bytes, files       uint64
	nodes              map[uint64]*inode
	// over ends the attempt; it must not return.
	over func(cause executor.Cause, detail string)
}

// inode is one file that is charged for.
type inode struct {
	size     int64
	opens    int
	unlinked bool
}

// makeDir charges a folder.
func (q *quota) makeDir() { q.addFile() }

// removeDir gives a folder back.
func (q *quota) removeDir() {
	if q.files > 0 { // a folder that was there before the guest was never charged
		q.files--
	}
}

func (q *quota) addFile() {
	if q.files >= q.maxFiles {
		q.over(executor.OutFiles, fmt.Sprintf(
			"/out and /tmp may hold %d files and folders together; raise the task's limit of output files", q.maxFiles))
	}
	q.files++
}

// opened charges the inode at its first opening and counts this one.
func (q *quota) opened(ino uint64, size int64) *inode {
	n := q.known(ino, size)
	n.opens++
	return n
}

// known is the inode's entry, made and charged if there is none.
func (q *quota) known(ino uint64, size int64) *inode {
	if n := q.nodes[ino]; n != nil {
		return n
	}
	q.addFile()
	n := &inode{}
	q.nodes[ino] = n
	q.resize(n, size)
	return n
}

// closed undoes opened.
func (q *quota) closed(ino uint64, n *inode) {
	n.opens--
	q.release(ino, n)
}

// unlinked notes that the inode has lost its name.
func (q *quota) unlinked(ino uint64) {
	if n := q.nodes[ino]; n != nil {
		n.unlinked = true
		q.release(ino, n)
	}
}

func (q *quota) release(ino uint64, n *inode) {
	if !n.unlinked || n.opens > 0 {
		return
	}
	q.bytes -= uint64(n.size)
	q.files--
	delete(q.nodes, ino)
}

// resize charges the difference to a new size, before it is made so.
func (q *quota) resize(n *inode, size int64) {
	if grown := size - n.size; grown > 0 && q.bytes+uint64(grown) > q.maxBytes {
		q.over(executor.OutBytes, fmt.Sprintf(
			"/out and /tmp may hold %d bytes together; raise the task's limit of output bytes", q.maxBytes))
	}
	q.bytes += uint64(size) - uint64(n.size)
	n.size = size
}

// written is what the guest is told of a change to its folders. A disk that is
// full or broken is the machine's failure: it ends the attempt as one, so that
// another worker tries, where the guest would fail for good.
func (q *quota) written(err error) expsys.Errno {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, e) {
			q.over(executor.Sandbox, fmt.Sprintf("the worker's disk under the task's folders fails: %v", e))
		}
	}
	return errnoOf(err)
}
