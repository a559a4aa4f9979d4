"""Writing down what an AutoGen team says in one run: whose message builds on which."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from autogen_agentchat.messages import BaseChatMessage, HandoffMessage

from gmem.adapters._watch import Watch
from gmem.model import Kind

__all__ = ["Scribe", "kind_of"]


class Scribe:
    """What is known of one run beside the utterances themselves.

    An utterance builds on what its agent was given since it last said something in this run: the
    messages that were broadcast to it, the results of its tools, what an inner team answered.  If it was
    given nothing, because it speaks twice in a row, it builds on what it said before.  What stems from
    an earlier run of the team is not looked at.

    Args:
        watch: Where it is recorded.
        managers: Names of managers that may speak themselves, such as MagenticOne's, and who is in
            the team of each.
    """

    def __init__(self, watch: Watch, managers: Mapping[str, frozenset[str]]) -> None:
        self.watch = watch
        self._managers = managers
        self._said: list[tuple[str, Hashable]] = []
        self._manager_at: dict[str, int] = {}
        self._last: dict[int, Hashable] = {}
        self._stands: dict[str, tuple[Hashable, ...]] = {}

    def chat(self, message: BaseChatMessage, agent: str, upstream: Sequence[Hashable]) -> Hashable:
        """Record a message of the chat, and give its key."""
        key: Hashable = message.id
        if not self.watch.knows(key):
            if not self.watch.put(key, message, upstream):
                to = [message.target] if isinstance(message, HandoffMessage) and message.target else []
                self.watch.heard(key, agent, message.to_model_text(), upstream=upstream, kind=kind_of(message), to=to)
            self._said.append((agent, key))
            usage = message.models_usage
            if usage is not None:
                self.watch.spent(tokens=usage.prompt_tokens + usage.completion_tokens, calls=1)
        return key

    def inputs(self, agent: object, messages: Sequence[BaseChatMessage]) -> list[Hashable]:
        """Give the keys of what an agent is given at the start of a turn; the unknown ones stand for nothing."""
        for message in messages:
            self.overheard(message)
        if not messages and id(agent) in self._last:
            return [self._last[id(agent)]]
        return [key for m in messages for key in self._stands.get(m.id, (m.id,))]

    def stands(self, message: BaseChatMessage, keys: Sequence[Hashable]) -> None:
        """Note what a message stands for that is no utterance itself: the task that an inner team is given."""
        self._stands[message.id] = tuple(keys)

    def is_task(self, message: BaseChatMessage) -> bool:
        """Tell whether a message is the task that an inner team was given."""
        return message.id in self._stands

    def overheard(self, item: object) -> None:
        """Record a message of a manager, who has no turns that could be watched."""
        if isinstance(item, BaseChatMessage) and item.source in self._managers and self._is_new(item):
            name = item.source
            since = self._manager_at.get(name, 0)
            members = self._managers[name]
            given = [key for who, key in self._said[since:] if who in members]
            self.chat(item, name, given or [key for who, key in self._said[:since][-1:] if who == name])
            self._manager_at[name] = len(self._said)

    def spoke(self, agent: object, key: Hashable) -> None:
        """Note what an agent said last."""
        self._last[id(agent)] = key

    def _is_new(self, message: BaseChatMessage) -> bool:
        """Tell whether a message is of this run, and not left over from an earlier one."""
        return not self.watch.knows(message.id) and message.created_at.timestamp() >= self.watch.began


def kind_of(message: BaseChatMessage) -> Kind:
    """Say what sort of utterance a message is."""
    return "handoff" if isinstance(message, HandoffMessage) else "message"
