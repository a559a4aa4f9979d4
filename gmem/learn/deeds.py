"""What a run did, as counted templates: objects go, verbs, prepositions, tools and speakers stay.

A run that is mostly talk is known by what was said in it, too: by its key terms.  Nothing is learned here: a run
gives the same deeds in whatever memory, and in whatever order its lines come.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from gmem.model import Deeds, Interaction, Task, Utterance
from gmem.text import common, fold, is_relation, template, words

__all__ = ["deeds"]

MOST_KINDS = 32
"""Kinds of deed that are kept of one run, those done most often."""
MOST_TERMS = 32
"""Key terms that are kept of one run's talk, those said most often."""
READ = 4096
"""Characters of one utterance that are read."""
_TOOL = 64
"""Characters of the name of a tool that tell it from others."""
_FENCED = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CALLED = re.compile(r"\b([A-Za-z_]\w{2,63})\s*\(")


def deeds(task: Task, interaction: Interaction) -> Deeds:
    """Say what was done in a run; echoes of the memory itself do not count.

    Args:
        task: The task, for its query and the roles of its agents.
        interaction: All that was said and done.
    """
    done: Counter[str] = Counter()
    said: Counter[str] = Counter()
    handled: set[str] = set()
    acts = talks = 0
    for u in interaction.utterances:
        if u.echo:
            continue
        if u.kind in ("action", "tool_call"):
            acts += 1
            kind, things = _deed(u)
            done[kind] += bool(kind)
            handled.update(things)
        elif u.kind in ("message", "handoff"):
            talks += 1
            text = u.content[:READ]
            done[f"{fold(u.role or task.agents.get(u.agent, '') or u.agent)[:_TOOL]}: speak"] += 1
            if "```" in text:
                done.update(f"call {name}" for code in _FENCED.findall(text) for name in _CALLED.findall(code))
            said.update(words(text))
    asked = set(words(task.query[:READ]))
    terms = _most({w: n for w, n in said.items() if not common(w)}, MOST_TERMS) if talks > acts else {}
    return Deeds(_most(done, MOST_KINDS), tuple(sorted(asked & handled)), terms)


def _deed(u: Utterance) -> tuple[str, Iterable[str]]:
    """Take a deed apart: what was done, and the words for what it was done to."""
    if u.kind == "tool_call":
        name, _, rest = u.content[:READ].partition("(")
        return fold(name)[:_TOOL], words(rest)
    return template(u.content), (w for i, w in enumerate(words(u.content[:READ])) if i and not is_relation(w))


def _most(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Keep the most frequent, the smaller text first among equals, so that no order of lines decides."""
    best = sorted((pair for pair in counts.items() if pair[1]), key=lambda pair: (-pair[1], pair[0]))[:limit]
    return dict(sorted(best))
