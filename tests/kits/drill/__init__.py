"""Whole drills on `local`, by the real command."""
