package sqs

import "container/heap"

// The heaps that a message can be in at the same time; at[slot] is its place
// there, plus one, so that the zero message is in none.
const (
	slotReady = iota
	slotTimed
	slotKeeping
	slotAges
	heapSlots
)

// A messageHeap is a priority queue that can drop any message in O(log n).
type messageHeap struct {
	slot   int
	before func(a, b *message) bool
	items  []*message
}

// top is the first message, nil when there is none.
func (h *messageHeap) top() *message {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *messageHeap) push(m *message) { heap.Push((*heapOrder)(h), m) }

// remove drops a message that may be here.
func (h *messageHeap) remove(m *message) {
	if at := m.at[h.slot]; at > 0 {
		heap.Remove((*heapOrder)(h), at-1)
	}
}

// heapOrder keeps container/heap's methods out of the reach of the queue.
type heapOrder messageHeap

func (h *heapOrder) Len() int           { return len(h.items) }
func (h *heapOrder) Less(i, j int) bool { return h.before(h.items[i], h.items[j]) }

func (h *heapOrder) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].at[h.slot], h.items[j].at[h.slot] = i+1, j+1
}

func (h *heapOrder) Push(x any) {
	m, _ := x.(*message)
	h.items = append(h.items, m)
	m.at[h.slot] = len(h.items)
}

func (h *heapOrder) Pop() any {
	last := len(h.items) - 1
	m := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	m.at[h.slot] = 0
	return m
}
