"""Fuzzers of the readers that outsiders' bytes reach: targets, their kept corpora, and `make fuzz` (decision 0015)."""
