"""The journal: the append-only event log of a run, and the only source of truth (design.md, section 5)."""
