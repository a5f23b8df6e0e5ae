"""What the tests are made with: worlds, players, servers, a real cluster. Nothing in the product imports it."""

from pathlib import Path

__all__ = ["REPOSITORY"]

REPOSITORY = Path(__file__).parents[2]
