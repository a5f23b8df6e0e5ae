"""Requests, answers and their statistics."""
