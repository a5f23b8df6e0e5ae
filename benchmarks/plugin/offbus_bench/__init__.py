"""What the benchmark runs: nothing, through each engine's own plug-in interface."""
