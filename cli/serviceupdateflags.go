package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
)

// addUpdate adds the flags that edit lists, which service create gives whole.
func (f *serviceFlags) addUpdate(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringArrayVar(&f.env, "env-add", nil, "KEY=VALUE to set; repeatable")
	fl.StringArrayVar(&f.envRm, "env-rm", nil, "KEY to remove; repeatable")
	fl.StringArrayVar(&f.labels, "label-add", nil, "KEY=VALUE of the service to set; repeatable")
	fl.StringArrayVar(&f.labelRm, "label-rm", nil, "KEY of the service to remove; repeatable")
	fl.StringArrayVar(&f.taskLabels, "container-label-add", nil, "KEY=VALUE of its tasks to set; repeatable")
	fl.StringArrayVar(&f.taskLabelRm, "container-label-rm", nil, "KEY of its tasks to remove; repeatable")
	fl.StringArrayVar(&f.hosts, "host-add", nil, "NAME:ADDRESS for the hosts file; repeatable")
	fl.StringArrayVar(&f.hostRm, "host-rm", nil, "NAME:ADDRESS to remove from the hosts file; repeatable")
	fl.StringArrayVar(&f.constraints, "constraint-add", nil, "constraint to add; repeatable")
	fl.StringArrayVar(&f.constraintRm, "constraint-rm", nil, "constraint to remove; repeatable")
	fl.StringArrayVar(&f.publish, "publish-add", nil, "port to publish; repeatable")
	fl.StringArrayVar(&f.publishRm, "publish-rm", nil, "TARGET[/PROTO] to publish no more; repeatable")
	fl.StringArrayVar(&f.networks, "network-add", nil, "network to join: NETWORK[,alias=NAME…]; repeatable")
	fl.StringArrayVar(&f.networkRm, "network-rm", nil, "network to leave; repeatable")
	fl.BoolVar(&f.force, "force", false, "replace the tasks even if nothing changes")
}

func (f *serviceFlags) applyUpdate(s *swarmnet.ServiceSpec, command []string) error {
	if len(command) > 0 {
		s.Task.Command = command
	}
	if f.force {
		s.Task.ForceUpdate++
	}
	env, err := parse.Env(append(slices.Clone(s.Task.Env), f.env...), os.LookupEnv)
	if err != nil {
		return err
	}
	s.Task.Env = slices.DeleteFunc(env, func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(f.envRm, k)
	})
	labels, err := parse.Labels("label-add", f.labels)
	if err != nil {
		return err
	}
	s.Labels = editLabels(s.Labels, labels, f.labelRm)
	if labels, err = parse.Labels("container-label-add", f.taskLabels); err != nil {
		return err
	}
	s.Task.Labels = editLabels(s.Task.Labels, labels, f.taskLabelRm)
	if s.Task.Hosts, err = f.editHosts(s.Task.Hosts); err != nil {
		return err
	}
	for _, rm := range f.constraintRm {
		if !slices.Contains(s.Task.Placement.Constraints, rm) {
			return fmt.Errorf("--constraint-rm %q: the service has no such constraint, it has %q", rm, s.Task.Placement.Constraints)
		}
	}
	cons := slices.DeleteFunc(slices.Clone(s.Task.Placement.Constraints), func(c string) bool { return slices.Contains(f.constraintRm, c) })
	s.Task.Placement.Constraints = append(cons, f.constraints...)
	return f.editPorts(s)
}

// editHosts takes --host-rm out of the entries of the hosts file and adds --host-add.
func (f *serviceFlags) editHosts(hosts []swarmnet.HostEntry) ([]swarmnet.HostEntry, error) {
	hosts = slices.Clone(hosts)
	for _, rm := range f.hostRm {
		gone, err := parse.Host("host-rm", rm)
		if err != nil {
			return nil, err
		}
		before := len(hosts)
		if hosts = slices.DeleteFunc(hosts, func(h swarmnet.HostEntry) bool { return h == gone }); len(hosts) == before {
			return nil, fmt.Errorf("--host-rm %q: the service has no such entry", rm)
		}
	}
	for _, add := range f.hosts {
		h, err := parse.Host("host-add", add)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// editPorts takes --publish-rm out of a spec's ports and adds --publish-add.
func (f *serviceFlags) editPorts(s *swarmnet.ServiceSpec) error {
	ports := slices.Clone(s.Ports)
	for _, rm := range f.publishRm {
		gone, err := parse.Publish(rm)
		if err != nil {
			return fmt.Errorf("--publish-rm: %w", err)
		}
		before := len(ports)
		ports = slices.DeleteFunc(ports, func(p swarmnet.PortSpec) bool {
			return slices.ContainsFunc(gone, func(g swarmnet.PortSpec) bool { return g.Target == p.Target && g.Protocol == p.Protocol })
		})
		if len(ports) == before {
			return fmt.Errorf("--publish-rm %q: the service does not publish it", rm)
		}
	}
	added, err := parse.AllPublish(f.publish)
	if err != nil {
		return err
	}
	s.Ports = append(ports, added...)
	return nil
}
