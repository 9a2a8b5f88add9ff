#!/bin/sh
# A machine's first process, inside namespaces of its own: a host name, a /run, a node-exporter, a Docker engine.
# When the engine ends the machine ends, and with this process everything else that runs on it.
# Arguments: folder, folder of its logs, host name, address, port of node-exporter, control group, then the engine's own options.
set -eu
folder=$1 logs=$2 name=$3 address=$4 port=$5 cgroup=$6
shift 6
hostname "$name"
for place in /run /opt /etc/docker; do # where engines leave things that are the whole host's
    if [ -d "$place" ]; then mount -t tmpfs lab "$place"; fi
done
prometheus-node-exporter --web.listen-address="$address:$port" --collector.disable-defaults \
    --collector.meminfo --collector.loadavg --collector.cpu --collector.uname 2>"$logs/exporter-$name.log" &
rm -f "$folder/docker.sock"
dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root /run/docker \
    --host "unix://$folder/docker.sock" --host unix:///run/docker.sock --pidfile /run/docker.pid \
    --bridge=none --iptables=false --cgroup-parent "$cgroup" "$@" >>"$logs/engine-$name.log" 2>&1 &
wait $!
