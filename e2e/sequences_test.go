package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/internal/sequences"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// TestE2EC25Sequences takes random sequences of real commands on a node whose daemon is killed at random moments, amid commands too, and compares
// what there is with a model. At the end all is removed, and nothing is left.
func TestE2EC25Sequences(t *testing.T) {
	c := alone(t, 1)
	c.must("n1", "run", "-d", "--name", "first", "--", "sleep", "1000") // what a node has from its first sandbox on stays
	c.must("n1", "rm", "-f", "first")
	before := ""
	labtest.Eventually(t, 15*time.Second, "the routes of networks without sandboxes to go", func() error {
		if before = c.remains(); strings.Contains(before, " via ") {
			return fmt.Errorf("there is\n%s", before)
		}
		return nil
	})
	for seed := range uint64(max(2, sequences.Count(5))) {
		m := walk{cluster: c, rand: rand.New(rand.NewPCG(seed, 25)), boxes: map[string]map[string]bool{}, up: map[string]bool{}, networks: map[string]bool{"bridge": true}}
		for range 12 {
			m.step()
		}
		m.compare()
		if len(m.boxes) > 0 {
			c.must("n1", append([]string{"rm", "-f"}, slices.Sorted(maps.Keys(m.boxes))...)...)
		}
		delete(m.networks, "bridge")
		if len(m.networks) > 0 {
			c.must("n1", append([]string{"network", "rm"}, slices.Sorted(maps.Keys(m.networks))...)...)
		}
	}
	labtest.Eventually(t, 15*time.Second, "nothing to be left", func() error {
		if after := c.remains(); after != before {
			return fmt.Errorf("there was\n%s\nthere is\n%s", before, after)
		}
		return nil
	})
}

// walk is a sequence and its model.
type walk struct {
	cluster
	rand     *rand.Rand
	log      []string
	networks map[string]bool
	boxes    map[string]map[string]bool // sandbox → its networks
	up       map[string]bool
}

// step takes one command, in one of three cases with the daemon killed meanwhile: then it is tried again until it is known what became of it.
func (w *walk) step() {
	w.t.Helper()
	// No name may begin an id: a removal tried again would fall on another.
	box, net := []string{"box-a", "box-b", "box-c"}[w.rand.IntN(3)], []string{"bridge", "x", "y"}[w.rand.IntN(3)]
	on, there := w.boxes[box]
	var args []string
	var done func()
	switch k := w.rand.IntN(10); {
	case !w.networks[net]:
		args, done = []string{"network", "create", net}, func() { w.networks[net] = true }
	case !there:
		args = []string{"run", "-d", "--name", box, "--network", net, "--restart", "no", "--", "sleep", "1000"}
		done = func() { w.boxes[box], w.up[box] = map[string]bool{net: true}, true }
	case k < 3 && !on[net]:
		args, done = []string{"network", "connect", net, box}, func() { on[net] = true }
	case k < 5 && on[net]:
		args, done = []string{"network", "disconnect", net, box}, func() { delete(on, net) }
	case w.up[box] && k < 8:
		args, done = []string{"stop", "-t", "0", box}, func() { w.up[box] = false }
	case !w.up[box]:
		args, done = []string{"start", box}, func() { w.up[box] = true }
	default:
		args, done = []string{"rm", "-f", box}, func() { delete(w.boxes, box); delete(w.up, box) }
	}
	w.log = append(w.log, strings.Join(args, " "))
	if w.rand.IntN(3) > 0 {
		w.must("n1", args...)
		done()
		return
	}
	w.log = append(w.log, "  meanwhile the daemon is killed")
	var wg sync.WaitGroup
	wg.Go(func() { w.Swarmnet(w.t.Context(), "n1", args...) }) //nolint:errcheck // it may or may not have been heard
	delay := time.NewTimer(time.Duration(w.rand.IntN(60)) * time.Millisecond)
	<-delay.C // a moment of the command's life is what is drawn
	if err := w.Stop("n1", true); err != nil {
		w.t.Fatal(err)
	}
	wg.Wait()
	if err := w.Start(w.t.Context(), "n1"); err != nil {
		w.t.Fatal(err)
	}
	w.finish(args, box)
	done()
}

// finish makes sure that a command that was cut off has its effect: it is given again, and what it says of an effect that is there already is
// as good.
func (w *walk) finish(args []string, box string) {
	w.t.Helper()
	labtest.Eventually(w.t, 20*time.Second, strings.Join(args, " ")+" to be finished, after\n"+strings.Join(w.log, "\n"), func() error {
		out, err := w.Swarmnet(w.t.Context(), "n1", args...)
		switch {
		case err == nil:
			return nil
		case args[0] == "run" && strings.Contains(err.Error(), "taken"): // made, and perhaps not started
			_, err = w.Swarmnet(w.t.Context(), "n1", "start", box)
		case strings.Contains(err.Error(), "already"), strings.Contains(err.Error(), "is taken"), strings.Contains(err.Error(), "is not on network"),
			args[0] == "rm" && strings.Contains(err.Error(), "not found"):
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s%w", out, err)
		}
		return nil
	})
}

// compare looks at the commands' answers and at the kernel: namespaces and their interfaces, the bridges' ports, processes.
func (w *walk) compare() {
	w.t.Helper()
	var want []string
	for box, on := range w.boxes {
		line := fmt.Sprintf("%s up=%t interfaces=%d", box, w.up[box], len(on))
		if !w.up[box] {
			line = fmt.Sprintf("%s up=false interfaces=0", box)
		}
		want = append(want, line)
	}
	slices.Sort(want)
	labtest.Eventually(w.t, 20*time.Second, "the node to be as the model\n"+strings.Join(w.log, "\n"), func() error {
		var have []string
		namespaces := 0
		for box := range w.boxes {
			row := w.inspectBox("n1", box)
			r, err := w.Run(w.t.Context(), "n1", "sh", "-c", fmt.Sprintf(
				"f=/run/swarmnet/netns/sb-%s; [ -e $f ] || exit 0; nsenter --net=$f ip -o link | grep -vc ' lo:'; true", row.ID))
			if err != nil {
				return err
			}
			interfaces := strings.TrimSpace(r.Stdout)
			if interfaces == "" {
				interfaces = "0"
			} else {
				namespaces++
			}
			have = append(have, fmt.Sprintf("%s up=%t interfaces=%s", box, row.State == "running", interfaces))
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			return fmt.Errorf("there is %v, there should be %v", have, want)
		}
		r, err := w.Run(w.t.Context(), "n1", "sh", "-c", "ls /run/swarmnet/netns | grep -c sb-; ls /run/swarmnet/tasks | wc -l; pgrep -cx sleep; true")
		if err != nil {
			return err
		}
		up := 0
		for box := range w.up {
			if w.up[box] {
				up++
			}
		}
		if got, want := strings.Fields(r.Stdout), []string{fmt.Sprint(namespaces), fmt.Sprint(len(w.boxes)), fmt.Sprint(up)}; !slices.Equal(got, want) {
			return fmt.Errorf("namespaces, records and processes: %v, want %v", got, want)
		}
		return nil
	})
}

// remains is all that sandboxes can leave on a node: namespaces, records, state, devices, the elements of our tables, processes.
func (c cluster) remains() string {
	c.t.Helper()
	r, err := c.Run(c.t.Context(), "n1", "sh", "-c",
		"ls /run/swarmnet/netns /run/swarmnet/tasks /tmp/swarmnet-lab-"+c.Name+"/n1/data/local/networks /tmp/swarmnet-lab-"+c.Name+"/n1/data/local/sandboxes | grep -v kept; "+
			"ip -o link | wc -l; ip route; cat /proc/self/mountinfo | grep -c swarmnet/netns; "+
			"for p in '' 'nsenter --net=/run/swarmnet/netns/fabric'; do $p ip -o link | cut -d: -f2; done; set -- /proc/[0-9]*; echo $#")
	if err != nil || r.Code != 0 {
		c.t.Fatalf("%v: %+v", err, r)
	}
	return r.Stdout
}
