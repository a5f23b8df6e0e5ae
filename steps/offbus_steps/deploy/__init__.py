"""The step type `deploy`: the workload under test, what is collected of it, and its undos."""
