"""The scheduler: which node a pod fits on, and which GPUs it gets there."""
