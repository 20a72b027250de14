// Package ingress computes the routing mesh (published ports on every node) and the virtual addresses of services:
// pure functions to Mesh and VIPs, which the backends of package ingress/kernel realise.
package ingress
