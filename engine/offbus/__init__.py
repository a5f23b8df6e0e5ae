"""offbus: GPU failure drills for the Kubernetes clusters that serve models.

This package is the engine: it reads a scenario, runs it as a DAG, undoes what it did and reports what it
proved. It knows nothing of GPUs, Kubernetes or HTTP; `offbus_steps`, `offbus_agent` and `offbus_sandbox` do.
"""

__version__ = "0.1.0"
