package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/cli/parse"
)

// serviceFlags are the flags of service create and, as far as they make sense there, of service update.
type serviceFlags struct {
	name, mode, endpointMode, hostname, dir, stopSignal     string
	replicas, maxPerNode                                    uint32
	networks, publish, constraints, env, labels, taskLabels []string
	dns, dnsSearch, dnsOptions, hosts                       []string
	healthCmd                                               string
	healthTCP                                               uint16
	healthInterval, healthTimeout, healthStart, grace       time.Duration
	healthRetries, restartAttempts                          uint32
	restartCondition                                        string
	restartDelay, restartWindow                             time.Duration
	update, rollback                                        rolloutFlags
	force                                                   bool
	envRm, labelRm, constraintRm, publishRm, networkRm      []string
	taskLabelRm, hostRm                                     []string
}

func (f *serviceFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.Uint32Var(&f.replicas, "replicas", 1, "number of tasks")
	fl.StringVar(&f.endpointMode, "endpoint-mode", "vip", "vip or dnsrr")
	fl.StringVar(&f.hostname, "hostname", "", "hostname inside")
	fl.StringVarP(&f.dir, "workdir", "w", "", "working directory inside")
	fl.StringVar(&f.stopSignal, "stop-signal", "", "signal that asks a task to stop (default SIGTERM)")
	fl.DurationVar(&f.grace, "stop-grace-period", 10*time.Second, "time between the stop signal and SIGKILL")
	fl.Uint32Var(&f.maxPerNode, "replicas-max-per-node", 0, "most tasks on one node; 0: any")
	fl.StringArrayVar(&f.dns, "dns", nil, "name server for outside names; repeatable")
	fl.StringArrayVar(&f.dnsSearch, "dns-search", nil, "search domain; repeatable")
	fl.StringArrayVar(&f.dnsOptions, "dns-option", nil, "resolver option; repeatable")
	fl.StringVar(&f.healthCmd, "health-cmd", "", "command (by /bin/sh) whose status 0 is healthy")
	fl.Uint16Var(&f.healthTCP, "health-tcp", 0, "TCP port to which a connection is healthy")
	fl.DurationVar(&f.healthInterval, "health-interval", 5*time.Second, "time between checks")
	fl.DurationVar(&f.healthTimeout, "health-timeout", 5*time.Second, "of one check")
	fl.DurationVar(&f.healthStart, "health-start-period", 0, "time at the start in which failures do not count")
	fl.Uint32Var(&f.healthRetries, "health-retries", 3, "failures in a row that make a task unhealthy")
	fl.StringVar(&f.restartCondition, "restart-condition", "any", "any, on-failure or none")
	fl.DurationVar(&f.restartDelay, "restart-delay", 5*time.Second, "time between an end and the next start")
	fl.DurationVar(&f.restartWindow, "restart-window", 0, "time in which attempts count; 0: always")
	fl.Uint32Var(&f.restartAttempts, "restart-max-attempts", 0, "most restarts; 0: any")
	f.update.add(cmd, "update")
	f.rollback.add(cmd, "rollback")
}

// apply puts what was given into a spec; creating counts defaults as given.
func (f *serviceFlags) apply(cmd *cobra.Command, creating bool, s *swarmnet.ServiceSpec) error {
	given := func(name string) bool { return creating || cmd.Flags().Changed(name) }
	changed := cmd.Flags().Changed
	var err error
	if changed("replicas") && s.Mode == swarmnet.Global {
		return fmt.Errorf("--replicas goes with a replicated service: a global one has a task on every node")
	}
	if given("replicas") && s.Mode == swarmnet.Replicated {
		s.Replicas = f.replicas
	}
	if given("endpoint-mode") {
		if s.EndpointMode, err = swarmnet.ParseEndpointMode(f.endpointMode); err != nil {
			return fmt.Errorf("--endpoint-mode: %w", err)
		}
	}
	if s.Mode == swarmnet.External {
		return nil
	}
	t := &s.Task
	if given("hostname") {
		t.Hostname = f.hostname
	}
	if given("workdir") {
		t.Dir = f.dir
	}
	if given("stop-signal") {
		t.StopSignal = f.stopSignal
	}
	if given("stop-grace-period") {
		t.StopGracePeriod = f.grace
	}
	if given("replicas-max-per-node") {
		t.Placement.MaxPerNode = f.maxPerNode
	}
	if err := f.applyDNS(given, t); err != nil {
		return err
	}
	if err := f.applyRestart(given, t); err != nil {
		return err
	}
	if err := f.applyHealth(changed, t); err != nil {
		return err
	}
	if err := f.update.apply(cmd, "update", creating, &s.Update); err != nil {
		return err
	}
	if f.grace < 0 {
		return fmt.Errorf("--stop-grace-period %v cannot be negative", f.grace)
	}
	return f.rollback.apply(cmd, "rollback", creating, &s.Rollback)
}

func (f *serviceFlags) applyDNS(given func(string) bool, t *swarmnet.TaskSpec) (err error) {
	if given("dns") {
		if t.DNS.Servers, err = parse.Addrs("dns", f.dns); err != nil {
			return err
		}
	}
	if given("dns-search") {
		t.DNS.Search = f.dnsSearch
	}
	if given("dns-option") {
		t.DNS.Options = f.dnsOptions
	}
	return nil
}

func (f *serviceFlags) applyRestart(given func(string) bool, t *swarmnet.TaskSpec) (err error) {
	if given("restart-condition") {
		if t.Restart.Condition, err = swarmnet.ParseRestartCondition(f.restartCondition); err != nil {
			return fmt.Errorf("--restart-condition: %w", err)
		}
	}
	if given("restart-delay") {
		t.Restart.Delay = f.restartDelay
	}
	if given("restart-window") {
		t.Restart.Window = f.restartWindow
	}
	if given("restart-max-attempts") {
		t.Restart.MaxAttempts = f.restartAttempts
	}
	if f.restartDelay < 0 || f.restartWindow < 0 {
		return fmt.Errorf("--restart-delay and --restart-window cannot be negative")
	}
	return nil
}

func (f *serviceFlags) applyHealth(changed func(string) bool, t *swarmnet.TaskSpec) error {
	if changed("health-cmd") && changed("health-tcp") {
		return fmt.Errorf("--health-cmd and --health-tcp exclude each other")
	}
	var h swarmnet.HealthCheck
	switch {
	case changed("health-cmd") && f.healthCmd == "", changed("health-tcp") && f.healthTCP == 0:
		t.Health = nil
		return nil
	case changed("health-cmd"):
		h.Command = []string{"/bin/sh", "-c", f.healthCmd}
	case changed("health-tcp"):
		h.TCPPort = f.healthTCP
	case t.Health != nil:
		h.Command, h.TCPPort = t.Health.Command, t.Health.TCPPort
	default:
		for _, name := range []string{"health-interval", "health-timeout", "health-retries", "health-start-period"} {
			if changed(name) {
				return fmt.Errorf("--%s goes with --health-cmd or --health-tcp", name)
			}
		}
		return nil
	}
	old := t.Health
	if old == nil {
		old = &swarmnet.HealthCheck{Interval: f.healthInterval, Timeout: f.healthTimeout, Retries: f.healthRetries, StartPeriod: f.healthStart}
	}
	h.Interval, h.Timeout, h.Retries, h.StartPeriod = old.Interval, old.Timeout, old.Retries, old.StartPeriod
	if changed("health-interval") {
		h.Interval = f.healthInterval
	}
	if changed("health-timeout") {
		h.Timeout = f.healthTimeout
	}
	if changed("health-retries") {
		h.Retries = f.healthRetries
	}
	if changed("health-start-period") {
		h.StartPeriod = f.healthStart
	}
	if h.Interval <= 0 || h.Timeout <= 0 || h.StartPeriod < 0 {
		return fmt.Errorf("--health-interval and --health-timeout must be above 0")
	}
	t.Health = &h
	return nil
}

// addCreate adds the flags that hold lists; on update they are edited with -add and -rm.
func (f *serviceFlags) addCreate(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "name of the service")
	fl.StringVar(&f.mode, "mode", "replicated", "replicated, global or external")
	fl.StringArrayVar(&f.networks, "network", nil, "network to join: NETWORK[,alias=NAME…]; repeatable")
	fl.StringArrayVarP(&f.publish, "publish", "p", nil, "[PUB:]TARGET[/PROTO], or published=,target=,protocol=,mode=ingress|host,ip=; repeatable")
	fl.StringArrayVar(&f.constraints, "constraint", nil, "where tasks may go, as in node.labels.zone==a; repeatable")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "KEY=VALUE, or KEY for the value that it has here; repeatable")
	fl.StringArrayVarP(&f.labels, "label", "l", nil, "KEY=VALUE of the service; repeatable")
	fl.StringArrayVar(&f.taskLabels, "container-label", nil, "KEY=VALUE of its tasks; repeatable")
	fl.StringArrayVar(&f.hosts, "host", nil, "NAME:ADDRESS for the hosts file; repeatable (the daemon to ask is named before the noun, or by SWARMNET_HOST)")
}

func (f *serviceFlags) applyCreate(s *swarmnet.ServiceSpec, command []string) (err error) {
	s.Name = f.name
	s.Task.Command = command
	if s.Mode, err = swarmnet.ParseServiceMode(f.mode); err != nil {
		return fmt.Errorf("--mode: %w", err)
	}
	if s.Networks, err = parse.Attachments(f.networks); err != nil {
		return err
	}
	if s.Ports, err = parse.AllPublish(f.publish); err != nil {
		return err
	}
	if s.Task.Env, err = parse.Env(f.env, os.LookupEnv); err != nil {
		return err
	}
	if s.Labels, err = parse.Labels("label", f.labels); err != nil {
		return err
	}
	if s.Task.Labels, err = parse.Labels("container-label", f.taskLabels); err != nil {
		return err
	}
	for _, h := range f.hosts {
		e, err := parse.Host("host", h)
		if err != nil {
			return err
		}
		s.Task.Hosts = append(s.Task.Hosts, e)
	}
	s.Task.Placement.Constraints = f.constraints
	return nil
}
