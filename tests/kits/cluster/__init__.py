"""A real Kubernetes cluster of three nodes on one machine, for the tests and to try things by hand.

API server, scheduler, controller manager, etcd; every node in namespaces of its own with containerd, kubelet,
kube-proxy and journald. docs/test-cluster.md says how to use it. Not part of offbus: nothing below engine/, steps/,
agent/ or sandbox/ may import it.
"""
