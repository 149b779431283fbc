package match

// heap is a binary heap whose elements know their place in it, so that one can
// be moved or taken out when what it is ordered by has changed.
type heap[T any] struct {
	list   []T
	before func(a, b T) bool
	placed func(t T, at int) // called with -1 when t leaves
}

func (h *heap[T]) push(t T) {
	h.list = append(h.list, t)
	h.up(len(h.list) - 1)
}

func (h *heap[T]) remove(at int) T {
	last, t := len(h.list)-1, h.list[at]
	h.list[at] = h.list[last]
	var none T
	h.list[last] = none
	h.list = h.list[:last]
	if at < last {
		h.fix(at)
	}
	h.placed(t, -1)
	return t
}

// fix restores the order after the element at a place has changed.
func (h *heap[T]) fix(at int) {
	if !h.down(at) {
		h.up(at)
	}
}

func (h *heap[T]) up(at int) {
	t := h.list[at]
	for at > 0 {
		parent := (at - 1) / 2
		if !h.before(t, h.list[parent]) {
			break
		}
		h.set(h.list[parent], at)
		at = parent
	}
	h.set(t, at)
}

func (h *heap[T]) down(at int) (moved bool) {
	t, from := h.list[at], at
	for {
		child := 2*at + 1
		if child >= len(h.list) {
			break
		}
		if right := child + 1; right < len(h.list) && h.before(h.list[right], h.list[child]) {
			child = right
		}
		if !h.before(h.list[child], t) {
			break
		}
		h.set(h.list[child], at)
		at = child
	}
	h.set(t, at)
	return at != from
}

func (h *heap[T]) set(t T, at int) {
	h.list[at] = t
	h.placed(t, at)
}
