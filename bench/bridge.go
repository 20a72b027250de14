package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/internal/netns"
	"github.com/swarmnet/swarmnet/internal/nl"
)

// bridgeStream sends 1 GiB between two sandboxes on one node-local network and between two hand-made namespaces on one bridge, on the same
// node, in turn. Which of the two goes first changes from run to run.
func bridgeStream(ctx context.Context, l *lab, out io.Writer) error {
	if _, err := l.swarm(ctx, "network", "create", "-d", "bridge", "bench-bridge"); err != nil {
		return err
	}
	defer l.swarm(context.Background(), "network", "rm", "bench-bridge")
	var boxes [2]string
	for i := range boxes {
		name := "bridged" + strconv.Itoa(i+1)
		id, err := l.swarm(ctx, "run", "-d", "--name", name, "--network", "bench-bridge", "--", "sleep", "86400")
		if err != nil {
			return err
		}
		defer l.swarm(context.Background(), "rm", "-f", name)
		boxes[i] = "/run/swarmnet/netns/sb-" + strings.TrimSpace(id)
	}
	text, err := l.helper(ctx, "n1", "pair")
	if err != nil {
		return err
	}
	hands := strings.Fields(text)
	if len(hands) != 2 {
		return fmt.Errorf("the hand-made pair is %q", text)
	}
	pairs := [2][2]string{boxes, {hands[0], hands[1]}}
	var rate, cpu [2]sample
	for run := range streamRuns {
		for k := range pairs {
			i := (k + run) % 2
			r, err := l.transfer(ctx, [2]string{"n1", "n1"}, pairs[i])
			if err != nil {
				return err
			}
			rate[i] = append(rate[i], float64(r.Bytes)*8/1e9/r.Wall)
			cpu[i] = append(cpu[i], r.CPU)
		}
	}
	table(out,
		row{"swarmnet bridge", "Gbit/s", rate[0]}, row{"hand-made bridge", "Gbit/s", rate[1]},
		row{"rate, ratio", "x", ratios(rate[0], rate[1])},
		row{"swarmnet bridge, CPU", "s", cpu[0]}, row{"hand-made bridge, CPU", "s", cpu[1]},
		row{"CPU, ratio", "x", ratios(cpu[0], cpu[1])})
	return nil
}

// handPair builds what a person would with `ip`: two namespaces, each with a veth pair to one bridge. It prints their paths.
func handPair(_ context.Context, _ []string, out io.Writer) error {
	host, err := nl.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	if err := host.AddBridge("pbr", swarmnet.MAC{}, 1500); err != nil {
		return err
	}
	bridge, _, err := host.Link("pbr")
	if err != nil {
		return err
	}
	var paths []string
	for i := range 2 {
		addr := netip.AddrFrom4([4]byte{10, 98, 0, byte(i + 1)})
		path, err := handEnd(host, bridge.Index, "pair"+strconv.Itoa(i+1), addr)
		if err != nil {
			return err
		}
		paths = append(paths, path)
	}
	fmt.Fprintln(out, strings.Join(paths, " "))
	return host.SetUp(bridge.Index)
}

func handEnd(host *nl.Conn, bridge int, name string, addr netip.Addr) (string, error) {
	path := filepath.Join(handDir, name)
	if _, err := netns.Create(handDir, name); err != nil {
		return "", err
	}
	in, err := nl.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if err := host.AddVeth(1500, nl.Veth{Name: name}, nl.Veth{Name: "eth0", NS: in.NS()}); err != nil {
		return "", err
	}
	port, _, err1 := host.Link(name)
	eth, _, err2 := in.Link("eth0")
	return path, errors.Join(err1, err2, host.SetMaster(port.Index, bridge), host.SetUp(port.Index),
		in.AddAddr(eth.Index, netip.PrefixFrom(addr, 24)), in.SetUp(eth.Index))
}
