"""The persistent object store: Kubernetes' rules for objects, without Kubernetes."""
