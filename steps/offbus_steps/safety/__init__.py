"""The guards of environments with a cluster."""
