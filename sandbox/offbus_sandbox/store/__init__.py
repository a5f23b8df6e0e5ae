"""The persisted object store: Kubernetes' rules for objects, without Kubernetes."""
