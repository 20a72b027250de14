# What `make e2e-vm-long` runs on the guest's kernel, over IPVS: the tests of whole clusters that make e2e-vm has no time for. Programs lie beside this script.
set -e
export SWARMNET_REQUIRE_KERNEL=all SWARMNET_BIN=/test/swarmnet SWARMNET_BALANCER=ipvs SWARMNET_SLOW=3
for test in S31StartFirstAnswersThroughout S33RemovedServiceIsGone NodeDies ExternalService; do
	echo "== $test at $(cut -d' ' -f1 /proc/uptime) s"
	e2e.test -test.v -test.timeout 5m -test.run "^TestE2E$test\$"
done
echo "== healing at $(cut -d' ' -f1 /proc/uptime) s"
agent.test -test.v -test.timeout 10m -test.run '^TestKernelHealing$'
echo "== the end at $(cut -d' ' -f1 /proc/uptime) s"
