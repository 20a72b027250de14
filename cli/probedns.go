package cli

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/probe"
)

// probeDNSCmds ask and are a name server.
func (a *app) probeDNSCmds() []*cobra.Command {
	var (
		server, listen, qtype string
		tcp                   bool
		edns                  uint16
		count                 int
		quiet, every          time.Duration
	)
	ask := &cobra.Command{Use: "dns NAME", Args: exactly("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		r, err := probe.Resolve(cmd.Context(), server, args[0], qtype, tcp, edns)
		if err != nil {
			return usageError{err}
		}
		return json.NewEncoder(a.stdout).Encode(r)
	}}
	ask.Flags().StringVar(&server, "server", "127.0.0.11:53", "ADDRESS:PORT")
	ask.Flags().StringVar(&qtype, "type", "A", "type of record")
	ask.Flags().BoolVar(&tcp, "tcp", false, "over TCP")
	ask.Flags().Uint16Var(&edns, "edns", 0, "octets of an answer that there is room for")
	watch := &cobra.Command{Use: "names NAME…", Args: atLeast("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		return probe.Watch(cmd.Context(), a.stdout, server, args, every)
	}}
	watch.Flags().StringVar(&server, "server", "127.0.0.11:53", "ADDRESS:PORT")
	watch.Flags().DurationVar(&every, "every", 100*time.Millisecond, "how often all names are asked for")
	storm := &cobra.Command{Use: "storm DOMAIN", Args: exactly("DOMAIN"), RunE: func(cmd *cobra.Command, args []string) error {
		codes, err := probe.Storm(cmd.Context(), server, args[0], count, quiet)
		if err != nil {
			return err
		}
		return json.NewEncoder(a.stdout).Encode(codes)
	}}
	storm.Flags().StringVar(&server, "server", "127.0.0.11:53", "ADDRESS:PORT")
	storm.Flags().IntVar(&count, "count", 150, "questions")
	storm.Flags().DurationVar(&quiet, "quiet", time.Second, "the answers have ended when none comes for so long")
	serve := &cobra.Command{Use: "nameserver [NAME=ADDRESS|NAME=RCODE…]", RunE: func(cmd *cobra.Command, args []string) error {
		n := &probe.Nameserve{Addr: listen, Out: a.stdout, Names: map[string][]netip.Addr{}, Rcodes: map[string]int{}}
		for _, arg := range args {
			name, value, _ := strings.Cut(arg, "=")
			name = strings.ToLower(dns.Fqdn(name))
			if code, ok := dns.StringToRcode[value]; ok {
				n.Rcodes[name] = code
				continue
			}
			addr, err := netip.ParseAddr(value)
			if err != nil {
				return usagef("%q: NAME=ADDRESS or NAME=RCODE is wanted", arg)
			}
			n.Names[name] = append(n.Names[name], addr)
		}
		return n.Run(cmd.Context())
	}}
	serve.Flags().StringVar(&listen, "listen", ":53", "ADDRESS:PORT")
	stack := &cobra.Command{Use: "stack", Args: exactly(), RunE: func(*cobra.Command, []string) error {
		s, err := probe.OwnStack()
		if err != nil {
			return fmt.Errorf("cannot read the network stack: %w", err)
		}
		return json.NewEncoder(a.stdout).Encode(s)
	}}
	lookup := &cobra.Command{Use: "lookup NAME", Args: exactly("NAME"), RunE: func(cmd *cobra.Command, args []string) error {
		return json.NewEncoder(a.stdout).Encode(probe.Look(cmd.Context(), "", args[0]))
	}}
	return []*cobra.Command{ask, watch, storm, serve, stack, lookup}
}
