"""Deletes an object by its uid, and reads back what a refusal leaves: only what is gone counts as deleted.

A server answers 409 when that uid is another object's by now, and 404 when there is none; an admission webhook or a
policy that refuses the deletion chooses its code, and may choose these. So the code decides nothing.
"""

from offbus.errors import StepError
from offbus_steps.port import Conflict, NotFound, Objects, Ref

__all__ = ["delete"]


async def delete(objects: Objects, ref: Ref, uid: str) -> bool:
    """Ask for the deletion of the object with that uid; whether it was there. Raises StepError when it is refused.

    It may end later. One that is going already is there: a server refuses to delete a namespace that it is emptying.
    """
    try:
        await objects.delete(ref, uid=uid)
    except (NotFound, Conflict) as refused:
        return await _is_going(objects, ref, uid, refused)
    return True


async def _is_going(objects: Objects, ref: Ref, uid: str, refused: StepError) -> bool:
    try:
        meta = (await objects.get(ref))["metadata"]
    except NotFound:
        return False
    if meta["uid"] != uid:
        return False
    if meta.get("deletionTimestamp"):
        return True
    raise StepError(
        f"{ref} is still there: {refused.message}",
        hint="check which admission webhook or policy refuses its deletion",
    ) from refused
