package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet/cli/probe"
)

// probeCmd is what the demo and the end-to-end tests measure with; it is no part of what a person types.
func (a *app) probeCmd() *cobra.Command {
	cmd := group(&cobra.Command{Use: "probe", Short: "Ask and measure, for the demo and the tests", Hidden: true})
	write := func(v any) error { return json.NewEncoder(a.stdout).Encode(v) }
	var (
		count, port  int
		octets, pace int64
		rate         float64
		duration     time.Duration
		timeout      time.Duration
	)
	ask := &cobra.Command{Use: "ask URL…", Args: atLeast("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		return write(probe.Repeat(cmd.Context(), args, count, timeout))
	}}
	ask.Flags().IntVar(&count, "count", 1, "requests in all, the URLs in turn")
	load := &cobra.Command{Use: "load URL…", Args: atLeast("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), duration)
		defer cancel()
		return probe.Load(ctx, a.stdout, args, rate, timeout)
	}}
	load.Flags().Float64Var(&rate, "rate", 100, "requests a second")
	load.Flags().DurationVar(&duration, "duration", time.Minute, "how long")
	var (
		parallel  int
		floodRate float64
		udpPort   int
	)
	flood := &cobra.Command{Use: "flood URL…", Args: atLeast("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		return probe.Flood(cmd.Context(), a.stdout, args, parallel, floodRate, timeout)
	}}
	flood.Flags().Float64Var(&floodRate, "rate", 500, "requests a second; 0: as many as are answered")
	flood.Flags().IntVar(&parallel, "parallel", 50, "clients at once, every other over a connection that it keeps")
	fetch := &cobra.Command{Use: "fetch URL", Args: exactly("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		return write(probe.Fetch(cmd.Context(), args[0], octets, pace))
	}}
	fetch.Flags().Int64Var(&octets, "octets", 0, "octets that must come")
	fetch.Flags().Int64Var(&pace, "pace", 0, "octets a second at most; 0: as they come")
	var every time.Duration
	hold := &cobra.Command{Use: "hold URL", Args: exactly("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), duration)
		defer cancel()
		return probe.Hold(ctx, a.stdout, args[0], count, every, timeout)
	}}
	hold.Flags().IntVar(&count, "count", 1, "connections")
	hold.Flags().DurationVar(&every, "every", time.Second, "time between two requests over each")
	hold.Flags().DurationVar(&duration, "duration", time.Minute, "how long")
	same := &cobra.Command{Use: "sameport URL…", Args: atLeast("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		return write(probe.SamePort(cmd.Context(), args, port, timeout))
	}}
	same.Flags().IntVar(&port, "port", 40000, "local port of every connection")
	udp := &cobra.Command{Use: "udp HOST:PORT…", Args: atLeast("HOST:PORT"), RunE: func(cmd *cobra.Command, args []string) error {
		var out []probe.Reply
		for _, addr := range args {
			out = append(out, probe.AskUDP(cmd.Context(), addr, udpPort, timeout))
		}
		return write(out)
	}}
	udp.Flags().IntVar(&udpPort, "port", 0, "local port; 0: any")
	for _, c := range []*cobra.Command{ask, load, flood, hold, same, udp} {
		c.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "of one request")
	}
	serve := &cobra.Command{Use: "serve", Args: exactly(), RunE: func(cmd *cobra.Command, _ []string) error {
		return probe.Serve(cmd.Context(), port)
	}}
	serve.Flags().IntVar(&port, "port", 80, "TCP port")
	get := &cobra.Command{Use: "get URL", Args: exactly("URL"), RunE: func(cmd *cobra.Command, args []string) error {
		return probe.Get(cmd.Context(), a.stdout, args[0], time.Minute)
	}}
	cmd.AddCommand(a.probeDNSCmds()...)
	cmd.AddCommand(ask, load, flood, hold, fetch, same, serve, get, udp, a.probeWritesCmd())
	return cmd
}
