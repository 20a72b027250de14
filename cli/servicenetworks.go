package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
)

// editNetworks takes a service off networks and puts it on others. A network may be named by any reference.
func (a *app) editNetworks(ctx context.Context, s *swarmnet.ServiceSpec, add, rm []string) error {
	on := slices.Clone(s.Networks)
	for _, ref := range rm {
		n, err := a.network(ctx, ref)
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(slices.Clone(on), func(att swarmnet.NetworkAttachment) bool { return att.Network == n.ID })
		if len(left) == len(on) {
			return fmt.Errorf("--network-rm %q: the service is not on it", ref)
		}
		on = left
	}
	atts, err := parse.Attachments(add)
	if err != nil {
		return usageError{err}
	}
	for _, att := range atts {
		n, err := a.network(ctx, string(att.Network))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(on, func(o swarmnet.NetworkAttachment) bool { return o.Network == n.ID }) {
			return fmt.Errorf("--network-add %q: the service is on it already; take it off with --network-rm to change its aliases", n.Spec.Name)
		}
		att.Network = n.ID
		on = append(on, att)
	}
	s.Networks = on
	return nil
}
