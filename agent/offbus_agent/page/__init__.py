"""The control page: its ABI, a node's two files, and the location of the built C parts."""
