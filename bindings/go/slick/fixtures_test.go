// SPDX-License-Identifier: MIT

package slick

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// Segments that the source system wrote, in four releases; the suite has cases for the driver over the same bytes.
const captured = "../../../fixtures/slick/captured"

const capturedElement = 24 // bytes

// releases of the source system, by the beginnings of the names.
var releases = map[string]Generation{"v120": Generation12, "v123": Generation12, "v13": Generation13, "v14": Generation14}

// sequences is what was written, by the ends of the names.
var sequences = map[string]struct {
	size        uint32
	elements    []int
	unpublished bool // the last one
	oldest      int  // item that a reader at index 0 is given first
}{
	"first-lap": {16, []int{1, 1, 1, 3, 1, 2}, false, 0}, "lapped": {8, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false, 8},
	"unpublished": {8, []int{1, 1, 1}, true, 0}, "wrap-mark": {8, []int{3, 3, 3, 1}, false, 2},
}

// capturedItem is an item of the captured sequences: byte k of the n-th element that is written is 7 n + k.
func capturedItem(first, elements int) []byte {
	data := make([]byte, 0, elements*capturedElement)
	for n := first; n < first+elements; n++ {
		for k := 0; k < capturedElement; k++ {
			data = append(data, byte(7*n+k))
		}
	}
	return data
}

// The same calls leave the same bytes as in the source system, and its bytes are read as they were written.
func TestCaptured(t *testing.T) {
	for release, generation := range releases {
		for what, sequence := range sequences {
			path := filepath.Join(captured, release+"-"+what, "seg.bin")
			want, err := os.ReadFile(path)
			succeed(t, err)
			q, name := newRing(t, capturedElement, sequence.size, WithGeneration(generation))
			p, written := produce(t, q), 0
			var items []Item
			for i, elements := range sequence.elements {
				claim, err := p.Reserve(elements)
				succeed(t, err)
				item := Item{Data: capturedItem(written, elements), Index: claim.Index, Elements: claim.Elements}
				copy(claim.Data, item.Data)
				written += elements
				if i+1 == len(sequence.elements) && sequence.unpublished {
					break
				}
				succeed(t, claim.Publish())
				if i == sequence.oldest {
					item.Lost = item.Index
				}
				if i >= sequence.oldest {
					items = append(items, item)
				}
			}
			if found := bytesOf(t, name); !bytes.Equal(found, want) {
				t.Errorf("%s\n%x\nexpected\n%x", path, found, want)
			}
			checkCaptured(t, path, generation, items)
		}
	}
}

// checkCaptured reads a captured segment from index 0.
func checkCaptured(t *testing.T, path string, generation Generation, items []Item) {
	t.Helper()
	q, err := Open(path, ReadOnly())
	succeed(t, err)
	defer q.Close()
	if q.generation != generation {
		t.Errorf("%s: generation %s", path, q.generation)
	}
	succeed(t, q.Validate())
	r := follow(t, q, WithStart(StartAt(0)))
	for _, want := range items {
		if item, err := r.Next(); err != nil || !reflect.DeepEqual(item, want) {
			t.Errorf("%s: %+v, %v; expected %+v", path, item, err, want)
		}
	}
	mustBeEmpty(t, r)
	last := items[len(items)-1]
	last.Lost = 0
	if item, err := r.Last(); err != nil || !reflect.DeepEqual(item, last) {
		t.Errorf("%s: last %+v, %v; expected %+v", path, item, err, last)
	}
}
