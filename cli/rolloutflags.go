package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmnet/swarmnet"
)

// rolloutFlags are --update-… and --rollback-…: how tasks are replaced.
type rolloutFlags struct {
	parallelism          uint32
	delay, monitor       time.Duration
	order, failureAction string
	maxFailureRatio      float64
}

func (r *rolloutFlags) add(cmd *cobra.Command, prefix string) {
	fl := cmd.Flags()
	fl.Uint32Var(&r.parallelism, prefix+"-parallelism", 1, "tasks replaced at once; 0: all")
	fl.DurationVar(&r.delay, prefix+"-delay", 0, "time between two batches")
	fl.DurationVar(&r.monitor, prefix+"-monitor", 5*time.Second, "time that a new task is watched for failure")
	fl.StringVar(&r.order, prefix+"-order", "stop-first", "stop-first or start-first")
	fl.StringVar(&r.failureAction, prefix+"-failure-action", "pause", "pause, continue or rollback")
	fl.Float64Var(&r.maxFailureRatio, prefix+"-max-failure-ratio", 0, "share of failed tasks that is borne")
}

func (r *rolloutFlags) apply(cmd *cobra.Command, prefix string, creating bool, c *swarmnet.UpdateConfig) (err error) {
	given := func(name string) bool { return creating || cmd.Flags().Changed(prefix+name) }
	if given("-parallelism") {
		c.Parallelism = r.parallelism
	}
	if given("-delay") {
		c.Delay = r.delay
	}
	if given("-monitor") {
		c.Monitor = r.monitor
	}
	if given("-max-failure-ratio") {
		if r.maxFailureRatio < 0 || r.maxFailureRatio > 1 {
			return fmt.Errorf("--%s-max-failure-ratio %v: a number from 0 to 1 is wanted", prefix, r.maxFailureRatio)
		}
		c.MaxFailureRatio = r.maxFailureRatio
	}
	if given("-order") {
		if c.Order, err = swarmnet.ParseUpdateOrder(r.order); err != nil {
			return fmt.Errorf("--%s-order: %w", prefix, err)
		}
	}
	if given("-failure-action") {
		if c.FailureAction, err = swarmnet.ParseFailureAction(r.failureAction); err != nil {
			return fmt.Errorf("--%s-failure-action: %w", prefix, err)
		}
	}
	if c.Delay < 0 || c.Monitor < 0 {
		return fmt.Errorf("--%s-delay and --%s-monitor cannot be negative", prefix, prefix)
	}
	return nil
}
