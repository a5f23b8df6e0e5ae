"""How a run whose runner is gone is finished."""
