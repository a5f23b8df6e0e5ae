"""The step types that send requests: `load`, `baseline`, `verify_inference`."""
