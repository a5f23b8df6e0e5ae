"""The adapter of the environment port for `local`."""
