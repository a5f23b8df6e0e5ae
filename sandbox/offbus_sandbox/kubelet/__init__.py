"""The kubelet of a local node: pods are real processes."""
