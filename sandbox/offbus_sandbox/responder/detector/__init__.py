"""The stand-in responder's detector: from the kernel log to a node's condition."""
