"""The planes on which a fault shows. Cheap to import: step types name them in their params."""

from enum import StrEnum

__all__ = ["PAGE_PLANES", "Plane"]


class Plane(StrEnum):
    """Where a fault shows."""

    KERNEL = "kernel"
    CUDA = "cuda"
    NVML = "nvml"


PAGE_PLANES = frozenset({Plane.CUDA, Plane.NVML})
"""The planes that the control page shows: they need the shim in the process, and two faults on one GPU would hide each
other there."""
