"""The step types that observe the platform's answer: `await_*` and `hold`."""
