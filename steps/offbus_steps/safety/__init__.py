"""The guards of our environments."""
