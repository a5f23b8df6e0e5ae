"""The environment `kubernetes`: the port over a real API server, and what a run keeps in the cluster.

`environment` registers it, and imports nothing heavy; `opening` opens it. `client` is the only module that imports
kubernetes_asyncio, for its credentials (kubeconfig, exec plugins, in-cluster); everything that is asked of the server
goes through `api`, as plain REST, one code path for all kinds.
"""
