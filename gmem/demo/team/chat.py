"""The team as an AutoGen program: three assistants and the world in a group chat, and a table at which they sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Response, TerminatedException, TerminationCondition
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, StopMessage, TextMessage
from autogen_agentchat.teams import SelectorGroupChat
from autogen_core import CancellationToken
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import ChatCompletionClient, LLMMessage, UserMessage

from .prompts import NOTHING, ROLES
from .rules import Desk, Game, act, ask, begin, facts, hear

MEMBERS = ("planner", "actor", "critic")


class Table:
    """What lies on the table: how far the team is.

    Args:
        game: The world, with a loaded task.
        most_moves: After so many commands the team stops.

    Attributes:
        desk: How far it is.
        best: The best score so far.
    """

    def __init__(self, game: Game, most_moves: int) -> None:
        self.game = game
        self.desk: Desk = begin(game, most_moves)
        self.best = self.desk.score

    def move(self) -> TextMessage:
        """Let the world carry out what was proposed."""
        self.desk, outcome = act(self.desk, self.game)
        self.best = max(self.best, outcome.score)
        return TextMessage(
            content=outcome.observation or NOTHING,
            source="environment",
            metadata={name: str(value) for name, value in facts(outcome).items()},
        )

    def hear(self, message: BaseAgentEvent | BaseChatMessage) -> None:
        """Go on after an answer of the one whose turn it is."""
        if message.source in MEMBERS and isinstance(message, TextMessage):
            self.desk = hear(self.desk, message.content, self.game)


class Asked(UnboundedChatCompletionContext):
    """The talk as a member has heard it, with the question of the moment behind it, which is not kept.

    Args:
        table: Where the question comes from.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table

    async def get_messages(self) -> list[LLMMessage]:
        """Give what the model is to be called with, behind its system message."""
        return [*await super().get_messages(), UserMessage(content=ask(self._table.desk), source="table")]


class Environment(BaseChatAgent):
    """The world as a member of the team: it carries out what was proposed.

    Args:
        table: Where the proposal lies.
    """

    def __init__(self, table: Table) -> None:
        super().__init__("environment", "The world in which the team acts.")
        self._table = table

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        """Say what it gives back."""
        return (TextMessage,)

    async def on_messages(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Response:  # fmt: skip
        """Answer the proposal."""
        return Response(chat_message=self._table.move())

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        """Do nothing: the world keeps itself."""


class GameOver(TerminationCondition):
    """Follows the talk at the table, and ends it when nobody's turn is left.

    Args:
        table: The table.
    """

    component_type = "termination"

    def __init__(self, table: Table) -> None:
        self._table = table
        self._over = False

    @property
    def terminated(self) -> bool:
        """Whether it has ended."""
        return self._over

    async def __call__(self, messages: Sequence[BaseAgentEvent | BaseChatMessage]) -> StopMessage | None:
        """Take note of what was said since the last time."""
        if self._over:
            raise TerminatedException("the game is over")
        for message in messages:
            self._table.hear(message)
        self._over = self._table.desk.turn is None
        return StopMessage(content="The game is over.", source="table") if self._over else None

    async def reset(self) -> None:
        """Get ready for another run."""
        self._over = False


def build(
    table: Table, models: Mapping[str, ChatCompletionClient], roles: Mapping[str, str] = ROLES
) -> SelectorGroupChat:
    """Build the team.

    Args:
        table: The table at which it sits.
        models: The model client of planner, actor and critic.
        roles: The system message of each.
    """
    members = [
        AssistantAgent(name, models[name], system_message=roles[name], model_context=Asked(table)) for name in MEMBERS
    ]
    return SelectorGroupChat(
        [*members, Environment(table)],
        models["planner"],  # never asked: the rules say whose turn it is
        termination_condition=GameOver(table),
        selector_func=lambda messages: table.desk.turn,
        allow_repeated_speaker=True,
    )
