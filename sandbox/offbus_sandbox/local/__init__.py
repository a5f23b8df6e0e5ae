"""The environment `local`, as the runner and `offbus local` use it."""
