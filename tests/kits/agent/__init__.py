"""A node with a real agent, and a GPU program for it."""
