"""Virtual environments with what a user would install."""
