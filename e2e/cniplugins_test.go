package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet/cli/probe"
	"github.com/swarmnet/swarmnet/lab/labtest"
)

// reaches fails the test unless a whoami answers to a sandbox of n1.
func (c cluster) reaches(box, url string) {
	c.t.Helper()
	labtest.Eventually(c.t, 5*time.Second, url+" to answer to "+box, func() error {
		if r := decode[[]probe.Reply](c.t, c.inside(box, "swarmnet", "probe", "ask", url))[0]; r.Err != "" {
			return fmt.Errorf("%s", r.Err)
		}
		return nil
	})
}

// The CNI project's own plugins: bridge and ptp, with host-local.
func TestE2EC12RealPlugins(t *testing.T) {
	bin := os.Getenv("SWARMNET_CNI")
	if bin == "" {
		bin, _ = filepath.Abs("../.cache/cni")
	}
	if _, err := os.Stat(filepath.Join(bin, "host-local")); err != nil {
		t.Skip("the CNI project's plugins are not here: `make e2e` builds them")
	}
	c := hosts(t, 1)
	held := t.TempDir()
	for name, plugin := range map[string]string{
		"bridged": `{"type":"bridge","bridge":"cni0","isDefaultGateway":true,"ipam":{"type":"host-local","subnet":"10.90.0.0/24","dataDir":%q}}`,
		"pointed": `{"type":"ptp","ipam":{"type":"host-local","subnet":"10.91.0.0/24","routes":[{"dst":"0.0.0.0/0"}],"dataDir":%q}}`,
	} {
		conf := filepath.Join(held, name+".conflist")
		text := fmt.Sprintf(`{"name":%q,"cniVersion":"1.0.0","plugins":[`+plugin+`]}`, name, held)
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c.must("n1", "network", "create", "-d", "cni", "--opt", "conf="+conf, "--opt", "bin-dir="+bin, name)
	}
	for name, gateway := range map[string]string{"bridged": "10.90.0.1", "pointed": "10.91.0.1"} {
		c.must("n1", "run", "-d", "--name", name+"-web", "--restart", "always", "--network", name, "--", "swarmnet", "whoami")
		c.box(name+"-client", "--network", name)
		if got := c.gateway(name + "-client"); got != gateway {
			t.Errorf("%s: the default route leads to %q, want %s", name, got, gateway)
		}
		c.reaches(name+"-client", "http://"+name+"-web")
	}
	// Beside a network of ours, whose gateway and the plugin's take turns.
	c.must("n1", "network", "create", "zone")
	c.box("both", "--network", "zone")
	was := c.gateway("both")
	for _, name := range []string{"bridged", "pointed"} {
		c.must("n1", "network", "connect", name, "both")
		if got := c.gateway("both"); got == was {
			t.Errorf("%s comes first by name, and the default route leads to %s still", name, got)
		}
		c.reaches("both", "http://"+name+"-web")
		c.must("n1", "network", "disconnect", name, "both")
		if got := c.gateway("both"); got != was {
			t.Errorf("off %s the default route leads to %q, want %s", name, got, was)
		}
	}
	if err := c.Kill("n1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	c.must("n1", "start", "bridged-client")
	labtest.Eventually(t, 20*time.Second, "the server to run again after a power cut", func() error {
		_, err := c.Swarmnet(t.Context(), "n1", "exec", "bridged-web", "--", "true")
		return err
	})
	c.reaches("bridged-client", "http://bridged-web")
	for _, name := range []string{"bridged", "pointed"} {
		c.must("n1", "rm", "-f", name+"-web", name+"-client")
	}
	labtest.Eventually(t, 10*time.Second, "every address to be given back", func() error {
		files, err := filepath.Glob(filepath.Join(held, "*", "10.*"))
		if err != nil || len(files) != 0 {
			return fmt.Errorf("%v %v", files, err)
		}
		return nil
	})
}
