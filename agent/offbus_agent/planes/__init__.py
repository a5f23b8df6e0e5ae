"""The planes on which a fault shows, and how a request is resolved to them."""
