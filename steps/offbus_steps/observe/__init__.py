"""The step types that observe the platform's response: `await_*` and `hold`."""
