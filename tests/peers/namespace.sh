# Process 1 of a peer's own world: mount, network, host name, IPC and process namespaces.
# Arguments: directory with the world's etc/ and var/, colon-ended list of usr/ trees laid over /usr.
# Says "ready", then lives until its standard input ends, which is when the test ends, however it ends.
set -e
base=$1 trees=$2
[ -z "$trees" ] || mount -t overlay overlay -o "lowerdir=$trees/usr" /usr
mount --bind "$base/etc" /etc
mount --bind "$base/var" /var
mount -t tmpfs -o mode=755 tmpfs /run
install -d -m 710 -g sasl /run/saslauthd
hostname mail.example.test
ip link set lo up
# As Debian sets it at boot. With the kernel's own ten a Postfix that is slow to begin waits for ever: the reader of its
# log writes there too.
echo 512 >/proc/sys/net/unix/max_dgram_qlen
# What servers leave behind is nobody's child but ours: not even a zombie of it may stay.
echo ready
exec env --ignore-signal=CHLD cat >/dev/null
