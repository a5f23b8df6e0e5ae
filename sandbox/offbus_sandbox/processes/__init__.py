"""Real processes: starts, watches and ends them, and finds those of a sandbox again."""
