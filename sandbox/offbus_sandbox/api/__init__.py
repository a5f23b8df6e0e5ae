"""The port over HTTP on a Unix socket."""
