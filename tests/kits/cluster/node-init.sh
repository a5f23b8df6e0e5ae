#!/usr/bin/env bash
# The first process of a node: separates it from the machine, waits for its cable, starts its programs and reaps.
#
# It is killed to switch the node off, and everything in the node goes with it: processes, mounts, network. Its disk,
# NODE_DIR, stays. Nothing here changes the machine: mounts are private, /etc and /var/lib are overlays.
# Environment: NODE, NUMBER, ADDRESS, NODE_DIR, PROGRAMS, IMAGES, STANDIN, API_HOST, SERVICES, ROUTES ("NET ADDRESS;…").
# Descriptor 0: one line comes when the cable is there. Descriptor READY: one line goes when the node can be plugged in.
set -euo pipefail

bind() { mkdir -p "$1" "$2"; mount --bind "$1" "$2"; }

overlay() {  # overlay NAME FOLDER: the machine's FOLDER, with the node's own changes
  mkdir -p "$NODE_DIR/$1" "$NODE_DIR/.$1"
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$NODE_DIR/$1,workdir=$NODE_DIR/.$1" "$2"
}

separate() {
  mount -t proc proc /proc
  mount -t tmpfs none /mnt  # a new sysfs shows this network's devices, but no cgroups: carry them over
  mkdir /mnt/cgroup
  mount --rbind /sys/fs/cgroup /mnt/cgroup
  mount -t sysfs sysfs /sys
  mount --rbind /mnt/cgroup /sys/fs/cgroup
  umount -l /mnt/cgroup
  umount /mnt
  overlay etc /etc
  overlay var-lib /var/lib
  bind "$NODE_DIR/kubelet" /var/lib/kubelet  # disks of their own: an overlay cannot hold containerd's overlays
  bind "$NODE_DIR/containerd" /var/lib/containerd
  bind "$NODE_DIR/log" /var/log
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/{systemd/journal,log/journal,netns,lock,containerd,offbus,standin-gpus}
  mount --bind "$NODE_DIR/gpus" /run/standin-gpus
  mount --bind "$STANDIN" /run/standin-gpus/lib
  bind "$NODE_DIR/gpus/var/lib/nvsentinel" /var/lib/nvsentinel
  mkdir -p /etc/cni/net.d
  cp "$NODE_DIR/cni.conflist" /etc/cni/net.d/10-offbus.conflist
  printf '%032x\n' "$NUMBER" > /etc/machine-id
  echo "$NODE" > /proc/sys/kernel/hostname
  mount --make-rshared /  # last: from here on what pods mount spreads within the node
}

connect() {
  echo 1 > /proc/sys/net/ipv4/ip_forward
  [ ! -e /proc/sys/net/bridge ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
  ip link set lo up
  ip addr add "$ADDRESS/24" dev eth0
  ip link set eth0 up
  ip route add "$SERVICES" via "$API_HOST"  # without any route there is no packet that kube-proxy could redirect
  local network gateway
  while read -r network gateway; do
    [ -z "$network" ] || ip route add "$network" via "$gateway"
  done < <(tr ';' '\n' <<< "$ROUTES")
}

keep() {  # keep NAME COMMAND…: run a program, and again when it ends, as systemd does with Restart=always
  local name=$1
  shift
  while :; do
    "$@" >> "$NODE_DIR/log/$name.log" 2>&1 < /dev/null || true
    sleep 1  # systemd's RestartSec
  done
}

load_images() {
  local try
  for try in {1..200}; do  # containerd says nowhere when it is ready: ask it
    ctr version > /dev/null 2>&1 && break
    [ "$try" -lt 200 ] || { echo "containerd did not answer within 20 s; see $NODE_DIR/log/containerd.log"; exit 1; }
    sleep 0.1
  done
  for archive in "$IMAGES"/*.tar; do
    ctr -n k8s.io images import "$archive" > /dev/null
  done
}

separate
echo ready >&"$READY"
exec {READY}>&-
read -r _
exec < /dev/null
connect
keep journald /lib/systemd/systemd-journald &
keep containerd containerd --config "$NODE_DIR/containerd.toml" &
load_images
keep kubelet "$PROGRAMS/kubelet" "--config=$NODE_DIR/kubelet.yaml" "--kubeconfig=$NODE_DIR/kubelet.kubeconfig" \
  "--hostname-override=$NODE" "--node-ip=$ADDRESS" "--node-labels=$LABELS" &
keep kube-proxy "$PROGRAMS/kube-proxy" "--kubeconfig=$NODE_DIR/kube-proxy.kubeconfig" --proxy-mode=iptables \
  "--cluster-cidr=$PODS" --conntrack-max-per-core=0 "--hostname-override=$NODE" "--bind-address=$ADDRESS" &
while :; do
  wait -n || true  # children are kept for ever, so this waits; strangers' orphans are reaped by bash meanwhile
done
