"""Kills drills everywhere, recovers, compares."""
