package cli

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever is typed after these commands, it is refused in one line or finds no daemon; nothing else happens.
func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"run -d --network a,ip=10.0.0.1 -p 80:80 -- x", "ps --filter label=a --format {{.ID}}", "network create -d bridge --subnet 10.0.0.0/8 x",
		"exec -it a -- b", "logs --tail 5 x", "port x 80/udp", "stop -t 5 -s HUP x", "service create --replicas 3 -- x", "inspect --type x", "network connect --ip 10.0.0.1 a b", "rm -f", "service scale a=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Fields(line)
		if len(args) == 0 {
			return
		}
		switch args[0] {
		case "run", "ps", "exec", "logs", "port", "stop", "start", "rm", "wait", "inspect", "network", "service", "node":
		default: // what works without a daemon is not for this test
			return
		}
		for _, a := range args {
			if strings.HasPrefix(a, "-H") || strings.HasPrefix(a, "--ho") || strings.HasPrefix(a, "--cert") || strings.Contains(a, "help") || strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.Contains(a, "h") {
				return
			}
		}
		var out, errs bytes.Buffer
		code := Run(t.Context(), append([]string{"--host", "unix:///nonexistent/s.sock"}, args...), strings.NewReader(""), &out, &errs)
		if code == 0 && strings.Contains(out.String(), "Available Commands:") {
			return // a group that was asked for nothing shows its help
		}
		switch code {
		case 1, 2, ownFailure:
		default:
			t.Fatalf("%q: status %d, %q", args, code, errs.String())
		}
		if strings.Count(errs.String(), "\n") != 1 || !strings.HasPrefix(errs.String(), "Error: ") {
			t.Fatalf("%q: %q", args, errs.String())
		}
	})
}
