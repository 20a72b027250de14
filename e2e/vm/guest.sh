# What `make e2e-vm` runs on the guest's kernel. Programs are static and lie beside this script.
set -e
export SWARMNET_REQUIRE_KERNEL=all
E2E='TestE2EPublishedPort|TestE2ENamesAndVIP|TestE2ES15.*|TestE2ES17UDPClientMoves|TestE2ES19IPVSRepaired|TestE2EBalancerIsTold'
at() { echo "== $1 at $(cut -d' ' -f1 /proc/uptime) s"; }
kernel_tests() {
	at "kernel tests of $1"
	"$1.test" -test.run TestKernel -test.timeout 15m
}
kernel_tests ingress
kernel_tests overlay
# Whole clusters that balance with IPVS, on a machine that is slow since it is emulated.
export SWARMNET_BIN=/test/swarmnet SWARMNET_BALANCER=ipvs SWARMNET_SLOW=3
at "clusters over IPVS"
e2e.test -test.v -test.failfast -test.timeout 10m -test.run "^($E2E)\$"
e2e.test -test.v -test.timeout 5m -test.run '^TestE2ES17S18Connections$/stopping'
at "lab demo over IPVS"
swarmnet lab demo --short --balancer ipvs
at "the end"
