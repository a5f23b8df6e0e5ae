"""The supervisor: the process that runs the local cluster."""
