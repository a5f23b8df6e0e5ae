"""What offbus costs, side by side with its peers. `make bench`, `bench-recovery`, `bench-shim`, `bench-fleet`."""
