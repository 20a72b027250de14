# What `make e2e-vm` runs on the guest's kernel. Programs are static and lie beside this script.
set -e
export SWARMNET_REQUIRE_KERNEL=all
kernel_tests() {
	echo "== $1 at $(cut -d' ' -f1 /proc/uptime) s"
	"$1.test" -test.run TestKernel -test.timeout 8m
}
kernel_tests ingress
kernel_tests overlay
