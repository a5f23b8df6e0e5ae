"""Test kits for authors of environments."""
