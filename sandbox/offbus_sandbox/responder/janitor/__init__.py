"""The stand-in responder's janitor: it simulates a node's repair."""
