"""The control page: its ABI, the two files of a node, and where the built C parts are."""
