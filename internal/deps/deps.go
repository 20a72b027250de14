// Package deps keeps the requirements in go.mod while their users are being written.
package deps

import (
	_ "github.com/anishathalye/porcupine"
	_ "github.com/cockroachdb/datadriven"
	_ "github.com/google/nftables"
	_ "github.com/hashicorp/memberlist"
	_ "github.com/mdlayher/netlink"
	_ "github.com/miekg/dns"
	_ "github.com/moby/ipvs"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/spf13/cobra"
	_ "github.com/tidwall/btree"
	_ "github.com/vishvananda/netlink"
	_ "go.etcd.io/raft/v3"
	_ "go.uber.org/goleak"
	_ "go4.org/netipx"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "golang.org/x/time/rate"
	_ "google.golang.org/grpc"
	_ "gopkg.in/yaml.v3"
	_ "pgregory.net/rapid"
)
