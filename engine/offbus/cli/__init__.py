"""The command line. Commands translate options into calls, and import what they use when they are called."""
