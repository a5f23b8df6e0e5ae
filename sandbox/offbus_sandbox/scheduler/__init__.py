"""The scheduler: selects a pod's node, and the GPUs that it gets there."""
