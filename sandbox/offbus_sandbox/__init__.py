"""The embedded environment `local`: supervisor, nodes, workload and stand-in responder."""
