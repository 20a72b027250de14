package agent

import "sync/atomic"

// doubt says whether one part of what is in the kernel must be looked at before it is changed: it is known how it was made, and the kernel tells of
// what others do to it. It is raised by what the kernel tells, and of our own changes, too, so that these are looked at again soon after.
type doubt struct {
	hears func() bool // whether the kernel's telling is listened to
	raise atomic.Bool
}

// ask reports whether there is doubt, and settles it: who asks looks.
func (d *doubt) ask() bool { return d.raise.Swap(false) || !d.hears() }

// doubts are those of the fabric and of the mesh.
type doubts struct{ fabric, mesh doubt }

func newDoubts(hears func() bool) *doubts {
	return &doubts{fabric: doubt{hears: hears}, mesh: doubt{hears: hears}}
}
