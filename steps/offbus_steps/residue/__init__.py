"""What a run changed and did not restore: fingerprint, patches, external changes."""
