"""The embedded environment: supervisor, nodes, workload and stand-in responder."""
