"""The planes of a fault, and how a request is resolved to them."""
