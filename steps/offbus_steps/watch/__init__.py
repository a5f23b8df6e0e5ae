"""The observer: what changes during a drill, as projections of objects."""
