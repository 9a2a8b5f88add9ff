#!/bin/sh
# A machine's first process, inside namespaces of its own: a host name, a /run, a node-exporter, a Docker engine.
# When the engine ends the machine ends, and with this process everything else that runs on it.
# Arguments: folder, host name, address, port of node-exporter, control group, then the engine's own options.
set -eu
folder=$1 name=$2 address=$3 port=$4 cgroup=$5
shift 5
hostname "$name"
for place in /run /opt /etc/docker; do # where engines leave things that are the whole host's
    if [ -d "$place" ]; then mount -t tmpfs lab "$place"; fi
done
prometheus-node-exporter --web.listen-address="$address:$port" --collector.disable-defaults \
    --collector.meminfo --collector.loadavg --collector.cpu --collector.uname 2>"$folder/exporter.log" &
rm -f "$folder/docker.sock"
dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root /run/docker \
    --host "unix://$folder/docker.sock" --pidfile /run/docker.pid \
    --bridge=none --iptables=false --cgroup-parent "$cgroup" "$@" >>"$folder/engine.log" 2>&1 &
wait $!
