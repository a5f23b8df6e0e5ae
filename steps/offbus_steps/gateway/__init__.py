"""The gateway: the published fault injection API on port 8080, each fault a run like any other."""
