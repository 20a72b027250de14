package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

func (a *app) serviceCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "service", Short: "Manage services"})
	cmd.AddCommand(a.serviceCreateCmd(), a.serviceLsCmd(), a.serviceInspectCmd(), a.servicePsCmd(), a.serviceScaleCmd(), a.serviceUpdateCmd(),
		a.serviceRollbackCmd(), a.serviceRmCmd(), a.serviceLogsCmd())
	return cmd
}

func (a *app) services(ctx context.Context) ([]swarmnet.Service, error) {
	control, err := a.control(ctx)
	if err != nil {
		return nil, err
	}
	r, err := control.ListServices(ctx, &pb.ListServicesRequest{})
	if err != nil {
		return nil, err
	}
	out := make([]swarmnet.Service, len(r.GetServices()))
	for i, m := range r.GetServices() {
		if out[i], err = wire.ServiceFromProto(m); err != nil {
			return nil, err
		}
	}
	sortBy(out, func(s swarmnet.Service) string { return naturalKey(s.Spec.Name) })
	return out, nil
}

// service reads one service, and the version that a change of it must name.
func (a *app) service(ctx context.Context, ref string) (swarmnet.Service, pb.ControlClient, error) {
	control, err := a.control(ctx)
	if err != nil {
		return swarmnet.Service{}, nil, err
	}
	m, err := control.GetService(ctx, &pb.ObjectRef{Ref: ref})
	if err != nil {
		return swarmnet.Service{}, nil, err
	}
	s, err := wire.ServiceFromProto(m)
	return s, control, err
}

func (a *app) serviceCreateCmd() *cobra.Command {
	var (
		f    serviceFlags
		w    waitFlags
		spec swarmnet.ServiceSpec
	)
	cmd := &cobra.Command{Use: "create [FLAGS] -- COMMAND [ARG…]", DisableFlagsInUseLine: true, Short: "Create a service", Args: serviceCommand(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.applyCreate(&spec, args); err != nil {
				return usageError{err}
			}
			if err := checkExternal(cmd, &spec); err != nil {
				return usageError{err}
			}
			if err := f.apply(cmd, true, &spec); err != nil {
				return usageError{err}
			}
			control, err := a.control(cmd.Context())
			if err != nil {
				return err
			}
			m, err := control.CreateService(cmd.Context(), &pb.CreateServiceRequest{Spec: wire.ServiceSpecToProto(spec)})
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, m.GetId())
			return a.wait(cmd.Context(), w, m.GetId())
		}}
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	f.addCreate(cmd)
	f.add(cmd)
	w.add(cmd)
	return cmd
}

func (a *app) serviceLsCmd() *cobra.Command {
	type row struct{ ID, Name, Mode, Replicas, Command, Ports string }
	running := map[swarmnet.ServiceID][2]uint32{}
	return lsCmd(a, lister[swarmnet.Service, row]{
		short:   "List services",
		columns: []column[row]{{"ID", "ID"}, {"NAME", "Name"}, {"MODE", "Mode"}, {"REPLICAS", "Replicas"}, {"COMMAND", "Command"}, {"PORTS", "Ports"}},
		quiet:   func(r row) string { return r.ID },
		list: func(ctx context.Context, _ bool) ([]swarmnet.Service, error) {
			services, err := a.services(ctx)
			if err != nil {
				return nil, err
			}
			tasks, err := a.tasks(ctx, taskSource{})
			for _, t := range tasks {
				n := running[t.In()]
				if t.Desired == swarmnet.DesireRunning {
					n[1]++
					if t.Status.State == swarmnet.TaskRunning {
						n[0]++
					}
				}
				running[t.In()] = n
			}
			return services, err
		},
		row: func(s swarmnet.Service, noTrunc bool) row {
			n := running[s.ID]
			if s.Spec.Mode == swarmnet.Replicated {
				n[1] = s.Spec.Replicas
			}
			r := row{ID: shortID(s.ID, noTrunc), Name: s.Spec.Name, Mode: s.Spec.Mode.String(), Replicas: fmt.Sprintf("%d/%d", n[0], n[1]),
				Command: truncate(strings.Join(s.Spec.Task.Command, " "), 30, noTrunc), Ports: portText(s)}
			if s.Spec.Mode == swarmnet.External { // nobody wants a number of them
				r.Replicas = fmt.Sprintf("%d/-", n[0])
			}
			if m := s.Spec.Task.Placement.MaxPerNode; m > 0 {
				r.Replicas += fmt.Sprintf(" (max %d per node)", m)
			}
			return r
		},
		filters: map[string]filterFunc[swarmnet.Service]{
			"id":    func(s swarmnet.Service, v string) bool { return strings.HasPrefix(string(s.ID), v) },
			"name":  func(s swarmnet.Service, v string) bool { return strings.HasPrefix(s.Spec.Name, v) },
			"mode":  func(s swarmnet.Service, v string) bool { return s.Spec.Mode.String() == v },
			"label": func(s swarmnet.Service, v string) bool { return hasLabel(s.Spec.Labels, v) },
		},
	})
}

// portText shows ports as docker does: *:8080->80/tcp.
func portText(s swarmnet.Service) string {
	ports := s.Ports
	if len(ports) == 0 {
		ports = s.Spec.Ports
	}
	out := make([]string, len(ports))
	for i, p := range ports {
		published := strconv.Itoa(int(p.Published))
		if p.Published == 0 {
			published = "…"
		}
		out[i] = fmt.Sprintf("*:%s->%d/%s", published, p.Target, p.Protocol)
		if p.Mode == swarmnet.PublishHost {
			out[i] = fmt.Sprintf("%s->%d/%s (host)", published, p.Target, p.Protocol)
		}
	}
	return strings.Join(out, ", ")
}

func (a *app) serviceInspectCmd() *cobra.Command {
	return inspectCmd(a, "SERVICE", "Show services in full", a.complete(0, serviceNames), func(ctx context.Context, ref string) (any, error) {
		s, _, err := a.service(ctx, ref)
		return s, err
	})
}

// changeService reads a service's spec, changes it and writes it back on condition that nobody else did meanwhile.
func (a *app) changeService(ctx context.Context, ref string, change func(*swarmnet.ServiceSpec) error) (string, error) {
	s, control, err := a.service(ctx, ref)
	if err != nil {
		return "", err
	}
	if err := change(&s.Spec); err != nil {
		return "", err
	}
	_, err = control.UpdateService(ctx, &pb.UpdateServiceRequest{Ref: string(s.ID), Spec: wire.ServiceSpecToProto(s.Spec), Version: s.Meta.Updated})
	return string(s.ID), err
}

func (a *app) serviceScaleCmd() *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{Use: "scale SERVICE=REPLICAS…", Short: "Set the number of tasks", Args: atLeast("SERVICE=REPLICAS"), ValidArgsFunction: a.complete(0, serviceNames), RunE: func(cmd *cobra.Command, args []string) error {
		wanted, order := map[string]uint32{}, []string{}
		for _, arg := range args { // all of them before the first is done
			name, n, err := parse.Scale(arg)
			if err != nil {
				return usageError{err}
			}
			if _, dup := wanted[name]; dup {
				return usagef("%q: the service is given twice", arg)
			}
			wanted[name] = n
			order = append(order, name)
		}
		for _, name := range order {
			s, _, err := a.service(cmd.Context(), name)
			if err != nil {
				return err
			}
			if s.Spec.Mode == swarmnet.External {
				return fmt.Errorf("%s is an external service, with the sandboxes that have joined it: run or stop those, on their nodes", name)
			}
			if s.Spec.Mode != swarmnet.Replicated {
				return fmt.Errorf("%s is a global service, with a task on every node: only replicated ones can be scaled", name)
			}
		}
		var ids []string
		for _, name := range order {
			id, err := a.changeService(cmd.Context(), name, func(s *swarmnet.ServiceSpec) error {
				s.Replicas = wanted[name]
				return nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s scaled to %d\n", name, wanted[name])
			ids = append(ids, id)
		}
		for _, id := range ids {
			if err := a.wait(cmd.Context(), w, id); err != nil {
				return err
			}
		}
		return nil
	}}
	w.add(cmd)
	return cmd
}

func (a *app) serviceUpdateCmd() *cobra.Command {
	var (
		f serviceFlags
		w waitFlags
	)
	cmd := &cobra.Command{Use: "update [FLAGS] SERVICE [-- COMMAND [ARG…]]", DisableFlagsInUseLine: true, Short: "Change a service", Args: atLeast("SERVICE"), ValidArgsFunction: a.complete(0, serviceNames), RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
			return usagef("`%s` takes one SERVICE; a new command goes after --", cmd.CommandPath())
		}
		id, err := a.changeService(cmd.Context(), args[0], func(s *swarmnet.ServiceSpec) error {
			if err := checkExternal(cmd, s); err != nil {
				return usageError{err}
			}
			if err := f.applyUpdate(s, args[1:]); err != nil {
				return usageError{err}
			}
			if err := a.editNetworks(cmd.Context(), s, f.networks, f.networkRm); err != nil {
				return err
			}
			if err := f.apply(cmd, false, s); err != nil {
				return usageError{err}
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, args[0])
		return a.wait(cmd.Context(), w, id)
	}}
	f.addUpdate(cmd)
	f.add(cmd)
	w.add(cmd)
	return cmd
}

func (a *app) serviceRollbackCmd() *cobra.Command {
	w := waitFlags{back: true}
	cmd := &cobra.Command{Use: "rollback SERVICE", Short: "Go back to the spec before the last change", Args: exactly("SERVICE"), ValidArgsFunction: a.complete(1, serviceNames), RunE: func(cmd *cobra.Command, args []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		m, err := control.RollbackService(cmd.Context(), &pb.ObjectRef{Ref: args[0]})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, args[0])
		return a.wait(cmd.Context(), w, m.GetId())
	}}
	w.add(cmd)
	return cmd
}

func (a *app) serviceRmCmd() *cobra.Command {
	return &cobra.Command{Use: "rm SERVICE…", Aliases: []string{"remove"}, Short: "Remove services", Args: atLeast("SERVICE"), ValidArgsFunction: a.complete(0, serviceNames), RunE: func(cmd *cobra.Command, args []string) error {
		control, err := a.control(cmd.Context())
		if err != nil {
			return err
		}
		return a.each(args, func(ref string) error {
			_, err := control.RemoveService(cmd.Context(), &pb.ObjectRef{Ref: ref})
			return err
		})
	}}
}
