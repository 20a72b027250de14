package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/swarmnet/swarmnet/lab/labtest"
)

// The demo exits with 0, as root and as an ordinary user, and prints its figures.
func TestE2EDemo(t *testing.T) {
	users := map[string]*syscall.SysProcAttr{"caller": nil}
	if os.Geteuid() == 0 {
		users["nobody"] = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	for who, attr := range users {
		t.Run(who, func(t *testing.T) {
			name := labtest.Name(t)
			before := labtest.Snapshot(name)
			cmd := exec.Command(binary, "lab", "demo", "--name", name)
			cmd.Dir, cmd.SysProcAttr = "/", attr
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("lab demo: %v\n%s", err, out)
			}
			for _, want := range []string{"== Measured", "everything checked out"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not print %q:\n%s", want, out)
				}
			}
			if i := strings.Index(string(out), "== Measured"); i >= 0 {
				t.Log(string(out[i:]))
			}
			labtest.Unchanged(t, name, before)
		})
	}
}
