"""An environment, step types and an undo type about a database: an example of words of one's own."""
