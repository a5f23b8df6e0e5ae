"""The environment `kubernetes`: the port over a real API server, and what a run stores in the cluster.

`environment` registers it, and imports nothing heavy; `open` opens it. `rest.lean_client` is the only module that
imports kubernetes_asyncio, for its credentials (kubeconfig, exec plugins, in-cluster); all requests to the server go
through `rest.api`, as plain REST, one code path for all kinds.
"""
