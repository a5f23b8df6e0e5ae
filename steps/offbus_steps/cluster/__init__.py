"""The open environment that steps act on, and how they wait in it."""
