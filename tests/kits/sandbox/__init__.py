"""A local cluster in this process."""
