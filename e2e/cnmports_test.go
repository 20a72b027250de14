package e2e

import (
	"testing"
	"time"
)

// However a sandbox ends, its port is free for the next at once, and for the same one too.
func TestE2EC32FreeAtOnce(t *testing.T) {
	c := hosts(t, 1)
	run := func() {
		c.must("n1", "run", "-d", "--name", "web", "-p", "8080:80", "-p", "5300:80/udp", "--", "swarmnet", "whoami")
		c.answers(web80("n1", 8080), 5*time.Second)
	}
	for range 5 {
		run()
		c.must("n1", "stop", "-t", "0", "web")
		c.must("n1", "rm", "web")
		run()
		c.must("n1", "rm", "-f", "web")
		run()
		for range 3 {
			c.must("n1", "stop", "-t", "0", "web")
			c.must("n1", "start", "web")
		}
		c.answers(web80("n1", 8080), 5*time.Second)
		c.must("n1", "rm", "-f", "web")
	}
}
