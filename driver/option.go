package driver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/swarmnet/swarmnet"
)

// The options of networks of one node, in their short form; those of overlay networks are in package swarmnet.
const (
	ICC         = "icc"
	Masquerade  = "masquerade"
	Parent      = "parent"
	MacvlanMode = "macvlan_mode"
	Conf        = "conf"
	BinDir      = "bin-dir"
)

// Option is one that a driver takes, as --opt NAME=VALUE.
type Option struct {
	Name string
	// Docker is the name by which Docker's users know it; empty: they know none, or the same.
	Docker string
	// Help is half a line.
	Help string
	// Values are all that it can be; empty: whoever uses it checks.
	Values   []string
	Required bool
}

var (
	truth = []string{"true", "false"}
	mtu   = Option{Name: swarmnet.OptionMTU, Docker: "com.docker.network.driver.mtu", Help: "octets, to lower it"}
)

// Normalise returns options in their short form, and refuses what the driver does not take.
func (d Driver) Normalise(options map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(options)) {
		i := slices.IndexFunc(d.Options, func(o Option) bool { return k == o.Name || k == o.Docker && k != "" })
		if i < 0 {
			return nil, fmt.Errorf("option %q is not one of driver %s: it takes %s", k, d.Name, strings.Join(d.optionNames(), ", "))
		}
		o, v := d.Options[i], options[k]
		if _, twice := out[o.Name]; twice {
			return nil, fmt.Errorf("option %s is given twice, as %s and as %s: leave one out", o.Name, o.Name, o.Docker)
		}
		if len(o.Values) > 0 && !slices.Contains(o.Values, v) {
			return nil, fmt.Errorf("option %s=%s is not possible: one of %s is wanted", k, v, strings.Join(o.Values, ", "))
		}
		out[o.Name] = v
	}
	for _, o := range d.Options {
		if o.Required && out[o.Name] == "" {
			return nil, fmt.Errorf("a %s network needs option %s, %s: give --opt %s=…", d.Name, o.Name, o.Help, o.Name)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func (d Driver) optionNames() []string {
	out := make([]string, len(d.Options))
	for i, o := range d.Options {
		out[i] = o.Name
	}
	slices.Sort(out)
	return out
}
