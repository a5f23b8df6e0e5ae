"""Runs a scenario: scheduler, attempts, undo, signals. Needs anyio, and no environment of its own."""
