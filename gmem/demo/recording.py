"""What a game of the team is as utterances: who said what to whom, what was done, and what came of it.

The team knows nothing of this; the demo tells it to the adapter that attaches the team to a memory.
"""

from __future__ import annotations

from gmem.adapters import Said, Verdict
from gmem.demo.team.prompts import PASS, VETO

__all__ = ["outcome", "said"]


def said(name: str, text: str, proposal: str = "", reward: float = 0.0) -> list[Said]:
    """Tell a line of the talk.

    A command that the actor puts forward is no deed yet: it is told with the world's answer, or, as mere talk, with
    the critic's veto.  A verdict is said to the actor, whichever way it goes.

    Args:
        name: Who speaks.
        text: What.
        proposal: The command that was put forward last.
        reward: What the world gave for it.
    """
    if name == "environment":
        return [
            Said("actor", proposal, "action", None, ("critic",)),
            Said("environment", text, "observation", reward or None, ("actor",)),
        ]
    line = Said(name, text, "message", None, ("actor",))
    if name == "actor":
        return [line] if text.startswith(PASS) else []
    if name == "critic" and text.startswith(VETO):
        return [Said("actor", proposal, "message", None, ("critic",)), line]
    return [line]


def outcome(score: int) -> Verdict:
    """Judge a game by its last score, -100 to 100."""
    if score >= 100:
        return Verdict("resolved", score)
    reason = "the game was lost for good" if score < 0 else f"the team gave up at {score} of 100"
    return Verdict("failed", score, reason)
