// Package overlay computes what a node's fabric must look like for its overlay networks: pure functions from the
// assignment set to Desired, and from observed and desired to ordered operations. Package overlay/kernel performs them.
package overlay
