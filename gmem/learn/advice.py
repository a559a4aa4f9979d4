"""Writing a pattern as the advice that a person would give."""

from __future__ import annotations

from gmem.learn.moves import marker, wording
from gmem.learn.patterns import split
from gmem.model import Polarity

__all__ = ["sentence"]

_MARK = marker("")


def sentence(pattern: str, polarity: Polarity) -> str:
    """Write a pattern as advice, without its evidence."""
    name, *args = split(pattern)
    do = polarity == "do"
    if name == "act":
        return f"{'Do' if do else 'Avoid'} `{args[0]}`"
    if name == "before":
        return f"Before `{args[1]}`, {'do' if do else 'avoid'} `{args[0]}`"
    if name in ("talk", "next", "check", "last", "first"):
        return _who(name, args, do)
    if name in ("turns", "length", "acts", "repeats", "idle"):
        return _how_often(name, args, do)
    if name == "think":
        return "Think or plan before the first action" if do else "Begin with an action, not with talk"
    if name == "then":
        earlier, later = wording(args[0], do=do), wording(args[1], do=True)
        return f"Before you {later}, {'' if do else 'do not '}{earlier}"
    if name == "ends":
        return f"{'Close' if do else 'Do not close'} on words that {wording(args[0], do=True)}"
    return _says(args[0], args[1], do)


def _who(name: str, args: list[str], do: bool) -> str:
    let = "Let" if do else "Do not let"
    if name == "talk":
        return f"Let the {args[0]} {'address' if do else 'not address'} the {args[1]}"
    if name == "next":
        return f"{let} the {args[1]} speak right after the {args[0]}"
    if name == "check":
        return f"{let} the {args[1]} check what the {args[0]} has just said"
    if name == "first":
        return f"{let} the {args[0]} speak first"
    return f"Let the {args[0]} {'have' if do else 'not have'} the last word"


def _how_often(name: str, args: list[str], do: bool) -> str:
    n = int(args[-1])
    most = n - 1
    if name == "turns":
        return f"Let the {args[0]} speak {f'at least {_times(n)}' if do else f'at most {_times(most)}'}"
    if name == "length":
        return f"Take at least {_count(n, 'turn')} before you stop" if do else f"Be done within {_count(most, 'turn')}"
    if name == "acts":
        return f"Do not stop before {_count(n, 'action')}" if do else f"Be done within {_count(most, 'action')}"
    if name == "repeats":
        again = "an action that got the same answer before"
        if do:
            return f"Try {again} at least {_times(n)} more"
        return f"Do not repeat {again}" + (f" more than {_times(most)}" if most else "")
    if do:
        return f"Go on after {_count(n, 'action')} without effect"
    return f"After {_count(most, 'action')} without effect, try something else" if most else "Do nothing without effect"


def _says(role: str, move: str, do: bool) -> str:
    if move.startswith(_MARK):
        word = move.removeprefix(_MARK)
        return f'Speak of "{word}"' if do else f'When somebody says "{word}", stop and think again'
    what = wording(move, do=do)
    if role:
        return f"{'Let' if do else 'Do not let'} the {role} {what}"
    return what[0].upper() + what[1:] if do else f"Do not {what}"


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
