"""Step types for the language's tests."""
