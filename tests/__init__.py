"""The tests. `tests.kits` is what they are made with."""
