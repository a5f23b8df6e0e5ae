"""A lone API server or the test cluster, and who plays its controllers."""
