package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"

	"github.com/miekg/dns"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// lookupName asks the resolver of the sandbox at -netns for a name, over TCP so that nothing is cut off, and prints how many addresses it has.
func lookupName(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("lookup", flag.ContinueOnError)
	ns := fs.String("netns", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var conn net.Conn
	if err := netns.Do(*ns, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.11:53")
		return err
	}); err != nil {
		return err
	}
	defer conn.Close()
	query := new(dns.Msg).SetQuestion(dns.Fqdn(fs.Arg(0)), dns.TypeA)
	answer, _, err := (&dns.Client{Net: "tcp"}).ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: conn})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, len(answer.Answer))
	return nil
}
