"""A scenario's matrix as it is played: which cell when, and the one report of all."""
