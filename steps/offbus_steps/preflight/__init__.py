"""The checks before a drill changes anything."""
