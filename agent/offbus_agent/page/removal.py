"""Removes a folder that somebody hostile has filled, a bounded number of entries at a time.

Job: nothing is followed and nothing outside the folder is touched: every name is looked up in an open folder, links are
removed as links. Folders may be nested deeper than paths are long and functions recurse: what a folder below the top
holds is moved to the top, one level at a time, so that neither depth nor number costs stack, descriptors or memory.
What is left of a folder that is not gone yet is still a folder: the next call goes on.
"""

import os
import secrets
from itertools import islice
from pathlib import Path

__all__ = ["remove_some"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def remove_some(folder: Path, most: int) -> bool:
    """Remove up to so many entries of a folder, the folder itself at last; whether it is gone. Raises OSError."""
    top = os.open(folder, _FOLDER)
    try:
        while most > 0:
            handled = _handle(top, top, most)
            if not handled:
                break
            most -= handled
    finally:
        os.close(top)
    if most > 0:
        folder.rmdir()
    return most > 0


def _handle(within: int, top: int, most: int) -> int:
    """Remove files and empty folders; empty the other folders if this is the top, else move them there.

    Both are open folders. Returns how many entries were handled: 0 for an empty folder.
    """
    handled = 0
    with os.scandir(within) as entries:
        for entry in islice(entries, most):
            handled += 1
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=within)
            elif within != top:
                os.rename(entry.name, secrets.token_hex(16), src_dir_fd=within, dst_dir_fd=top)
            else:
                inner = os.open(entry.name, _FOLDER, dir_fd=top)
                try:
                    handled += _handle(inner, top, most - handled)
                finally:
                    os.close(inner)
                if handled < most:
                    os.rmdir(entry.name, dir_fd=top)
            if handled >= most:
                break
    return handled
