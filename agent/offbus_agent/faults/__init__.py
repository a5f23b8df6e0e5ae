"""The faults of this node: requests, stored faults, ownership, evidence, and the responder's clear."""
