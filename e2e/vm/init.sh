#!/bin/busybox sh
# The guest's first process: it mounts what programs expect, runs the script and tells by the second serial line that it began and how it ended.
/bin/busybox --install -s
export PATH=/test:/sbin:/usr/sbin:/bin:/usr/bin HOME=/ TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
hostname guest
cd /test
echo up >/dev/ttyS1
sh /test/script </dev/null
echo "exit $?" >/dev/ttyS1
reboot -f
