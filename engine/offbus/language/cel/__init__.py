"""Expressions: CEL, typed from what a scenario declares."""
