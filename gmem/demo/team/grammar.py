"""What everybody at the table knows of the commands and answers of the world."""

from __future__ import annotations

from functools import lru_cache

VERBS = (
    "activate", "close", "connect", "deactivate", "disconnect", "drop", "dunk", "eat", "examine", "flush", "focus on",
    "go to", "inventory", "look around", "look at", "look in", "mix", "move", "open", "pick up", "pour", "put down",
    "read", "teleport to", "use", "wait", "wait1",
)  # fmt: skip
AMBIGUOUS = "Ambiguous request"
"""How the world begins when it asks which of several things was meant."""
_REFUSALS = ("No known action matches that input", "Unknown action")


@lru_cache(maxsize=20_000)
def verb(command: str) -> str:
    """Return the verb of a command, its first word when the grammar does not list it.

    >>> verb("focus on the cat"), verb("sing a song")
    ('focus on', 'sing')
    """
    low = command.lower()
    found = [v for v in VERBS if low == v or low.startswith(v + " ")]
    return max(found, key=len) if found else low.split(" ")[0]


def was_refused(observation: str) -> bool:
    """Say whether an observation means that the world did not take the command."""
    return observation.startswith(_REFUSALS)
