"""The step type `prepare_cuda`: how the shim is loaded into a target, and its undos."""
