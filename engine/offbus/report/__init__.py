"""Reports: pure folds of a journal."""
