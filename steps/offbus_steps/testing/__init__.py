"""Test kits for those who write environments."""
