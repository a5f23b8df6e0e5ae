"""Drills in a world of their own, on virtual time."""
