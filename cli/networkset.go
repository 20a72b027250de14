package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
	"github.com/swarmnet/swarmnet/proto/wire"
)

// network is a network of this node or of the cluster.
type network struct {
	swarmnet.Network
	local bool
	used  bool // by anything; only where it was asked for
}

func (n network) scope() string {
	if n.local {
		return "node"
	}
	return "cluster"
}

// owner is whose the network is, in a sentence.
func (n network) owner() string {
	if n.local {
		return "this node"
	}
	return "the cluster"
}

func (n network) predefined() bool {
	return n.local && slices.Contains(driver.Predefined(), n.Spec.Name)
}

// networkSet is every network that can be named here.
type networkSet struct {
	all []network
	// clusterErr is why the cluster's are not among them; nil when they are, and on a node that is in no cluster.
	clusterErr error
}

// networkSet asks the node and its cluster. What only one of them can tell is worth having.
func (a *app) networkSet(ctx context.Context) (networkSet, error) {
	var set networkSet
	if strings.HasPrefix(a.host, "unix://") {
		local, err := a.local(ctx)
		if err != nil {
			return set, err
		}
		r, err := local.ListNetworks(ctx, &pb.ListNetworksRequest{})
		if err != nil && status.Code(err) != codes.Unimplemented {
			return set, err
		}
		if err := set.add(r, true); err != nil {
			return set, err
		}
	}
	control, err := a.control(ctx)
	if err != nil {
		return set, err
	}
	r, err := control.ListNetworks(ctx, &pb.ListNetworksRequest{})
	if err == nil {
		err = set.add(r, false)
	}
	if err != nil && !a.inNoCluster(ctx, err) {
		set.clusterErr = err
	}
	sortBy(set.all, func(n network) string { return naturalKey(n.Spec.Name) })
	return set, nil
}

func (s *networkSet) add(r *pb.ListNetworksResponse, local bool) error {
	for _, m := range r.GetNetworks() {
		n, err := wire.NetworkFromProto(m)
		if err != nil {
			return err
		}
		s.all = append(s.all, network{Network: n, local: local})
	}
	return nil
}

// inNoCluster reports whether the cluster's API refused because there is no cluster. A worker refuses with the same code.
func (a *app) inNoCluster(ctx context.Context, err error) bool {
	if status.Code(err) != codes.FailedPrecondition {
		return false
	}
	info, infoErr := a.info(ctx)
	return infoErr == nil && info.GetState() == "inactive"
}

// find resolves a reference: a full id, an exact name, a unique prefix of an id, in that order.
func (s networkSet) find(ref string) (network, error) {
	for _, match := range []func(n network) bool{
		func(n network) bool { return string(n.ID) == ref },
		func(n network) bool { return n.Spec.Name == ref },
		func(n network) bool { return ref != "" && strings.HasPrefix(string(n.ID), ref) },
	} {
		var found []network
		for _, n := range s.all {
			if match(n) {
				found = append(found, n)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return network{}, fmt.Errorf("%q means %d networks (%s): give more of the id", ref, len(found), describe(found))
	}
	if s.clusterErr != nil {
		return network{}, fmt.Errorf("this node has no network %q, and the cluster could not be asked: %s", ref, explain(s.clusterErr))
	}
	return network{}, fmt.Errorf("no network %q: `swarmnet network ls` lists them", ref)
}

func describe(nets []network) string {
	out := make([]string, len(nets))
	for i, n := range nets {
		out[i] = fmt.Sprintf("%s %s of %s", swarmnet.ShortID(n.ID), n.Spec.Name, n.owner())
	}
	return strings.Join(out, ", ")
}

// network finds one network by a reference.
func (a *app) network(ctx context.Context, ref string) (network, error) {
	set, err := a.networkSet(ctx)
	if err != nil {
		return network{}, err
	}
	return set.find(ref)
}

// completeNetworks completes networks that pass keep.
func (a *app) completeNetworks(keep func(network) bool) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.networkRefs(args, prefix, keep), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) networkRefs(given []string, prefix string, keep func(network) bool) []string {
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	set, err := a.networkSet(ctx)
	if err != nil {
		return nil
	}
	var refs []ref
	for _, n := range set.all {
		if keep == nil || keep(n) {
			refs = append(refs, ref{n.Spec.Name, string(n.ID)})
		}
	}
	return matching(refs, given, prefix)
}

func userMade(n network) bool { return !n.predefined() }
