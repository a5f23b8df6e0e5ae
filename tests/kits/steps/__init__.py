"""Steps on an environment of their own, in virtual time or on `local`."""
