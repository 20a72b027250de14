# What `make e2e-vm` runs on the guest's kernel. Programs are static and lie beside this script.
set -e
export SWARMNET_REQUIRE_KERNEL=all
at() { echo "== $1 at $(cut -d' ' -f1 /proc/uptime) s"; }
kernel_tests() {
	at "kernel tests of $1"
	"$1.test" -test.run TestKernel -test.timeout 15m
}
kernel_tests ingress
kernel_tests overlay
at "lab demo over IPVS"
swarmnet lab demo --short --balancer ipvs
at "the end"
