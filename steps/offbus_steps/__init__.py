"""Step types, their undos, the environment port, and what speaks to a cluster through it."""
