"""What others' detectors read, and what they would do: their rules as data, and matching a record against them."""
