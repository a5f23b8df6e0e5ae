"""The observer: what changes while a drill runs, and the projections of it."""
