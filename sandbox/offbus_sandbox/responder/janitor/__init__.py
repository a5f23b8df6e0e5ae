"""The stand-in responder's janitor: it plays a node's repair."""
