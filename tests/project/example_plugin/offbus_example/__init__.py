"""An example of a package that extends offbus: an environment, two step types and an undo type."""
