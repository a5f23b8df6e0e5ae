"""Real processes: starting, watching, ending, and finding again those of a sandbox."""
