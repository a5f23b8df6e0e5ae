"""The step type `deploy`: the workload under test, what is collected about it, and its undos."""
