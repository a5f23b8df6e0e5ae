"""The kubelet of a local node: it runs pods as processes."""
