"""Programs for pods of the tests, in Python."""

__all__ = ["SAY_MAPPED"]

SAY_MAPPED = """
import signal
maps = open("/proc/self/maps").read()
print("shim mapped" if "liboffbus.so" in maps else "no shim", flush=True)
signal.pause()
"""
"""Says whether the shim is in its memory, and waits."""
