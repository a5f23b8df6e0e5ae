"""The environment port's adapter for `local`."""
