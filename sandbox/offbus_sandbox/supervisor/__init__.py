"""The supervisor: the process that is the local cluster."""
