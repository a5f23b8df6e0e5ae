"""What can go wrong with the cluster, in one class: the message says what, where, why and what to do."""

__all__ = ["ClusterError"]


class ClusterError(Exception):
    """The cluster could not be made, reached or removed."""
