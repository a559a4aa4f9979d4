"""`Memory`: what a program uses.  Every operation exists as `x` and, awaited, as `ax`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from gmem import checks
from gmem.embed import Embedder, resolve
from gmem.engine import Engine
from gmem.errors import InvalidInput
from gmem.flow import Flow, arun, run
from gmem.graphs import EmbeddedStore, GraphStore, TeamStats
from gmem.learn import Distiller, RulesDistiller
from gmem.learn.by_model import ModelDistiller
from gmem.learn.upkeep import Receipt
from gmem.llm import ChatModel
from gmem.meter import Usage
from gmem.model import Insight, InsightState, Interaction, Notice, Outcome, Task
from gmem.recall import Recall, RecallSettings
from gmem.reembed import Progress
from gmem.trace import Run

if TYPE_CHECKING:
    import networkx as nx
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel

__all__ = ["Memory"]


class Memory:
    """The memory of one team.

    Args:
        location: Path of a file (made if it is missing), the address of a Neo4j server
            (`neo4j://localhost:7687`), or a `GraphStore`.
        team: The namespace; nothing of it is ever seen by another team of the same store.
        embedder: `"auto"` (what the memory was made with, else static embeddings if they are
            installed, else words only), `"none"`, `"static"`, `"sentence-transformers/<model>"`,
            `"<provider>:<model>"`, or a LangChain `Embeddings`.
        model: Chat model that writes lessons: any LangChain chat model, `"<provider>:<model>"`, or a
            `gmem.llm.ChatModel` with caps on its use; None for lessons mined without a model.
        distiller: What turns runs into lessons: `"auto"` (the model if there is one), `"rules"`, or an
            object of your own.
        settings: Defaults of a recall.
        create: Whether to make a missing file.
        auth: User and password for a server; else those in its address, else the environment's
            NEO4J_USERNAME and NEO4J_PASSWORD.

    Raises:
        InvalidInput: An argument makes no sense.
        EmbedderMismatch: The memory was made with another embedding model.
        StoreError: The store cannot be opened.

    Example:
        >>> memory = Memory(getfixture("tmp_path") / "team.gmem", team="support", embedder="none")
        >>> with memory.task("Refund order 17", agents={"ann": "clerk", "bob": "checker"}) as run:
        ...     _ = run.say("ann", "Order 17 was paid twice; I refund one payment.", to="bob")
        ...     _ = run.say("bob", "Checked: one payment is left.", to="ann")
        ...     run.resolve(score=1)
        >>> memory.recall("Refund order 18").solved[0].task.query
        'Refund order 17'
        >>> memory.close()
    """

    def __init__(
        self,
        location: str | Path | GraphStore = "memory.gmem",
        *,
        team: str = "default",
        embedder: str | Embeddings | Embedder | None = "auto",
        model: str | BaseChatModel | ChatModel | None = None,
        distiller: str | Distiller = "auto",
        settings: RecallSettings | None = None,
        create: bool = True,
        auth: tuple[str, str] | None = None,
    ) -> None:
        checks.name(team, "team")
        if isinstance(distiller, str) and distiller not in ("auto", "rules"):
            raise InvalidInput(f"distiller must be 'auto', 'rules' or a Distiller, not {distiller!r}")
        if not isinstance(settings, (RecallSettings, type(None))):
            raise InvalidInput(f"settings must be a RecallSettings, like RecallSettings(budget=800), not {settings!r}")
        self._model = None if model is None else model if isinstance(model, ChatModel) else ChatModel(model)
        if distiller == "auto" and self._model is not None:
            distiller = ModelDistiller(self._model)
        elif isinstance(distiller, str):
            distiller = RulesDistiller()
        store = location if isinstance(location, GraphStore) else open_store(location, create=create, auth=auth)
        try:
            chosen = resolve(embedder, store.embedder())
            self._engine = Engine(store, team, chosen, distiller, settings or RecallSettings())
        except BaseException:
            if store is not location:
                store.close()
            raise

    def __repr__(self) -> str:
        return f"Memory({self.location!r}, team={self.team!r})"

    @property
    def team(self) -> str:
        """The namespace that this memory reads and writes."""
        return self._engine.team

    @property
    def location(self) -> str:
        """Path or URI that opens this memory again."""
        return self.store.location

    @property
    def store(self) -> GraphStore:
        """The store behind it."""
        return self._engine.store

    @property
    def embedder(self) -> Embedder | None:
        """The embedder in use; None for words only."""
        return self._engine.embedder

    @property
    def usage(self) -> Usage:
        """What the chat model was used for so far; all zero without one."""
        return self._model.usage if self._model is not None else Usage()

    @property
    def usage_by_operation(self) -> dict[str, Usage]:
        """The same, by what the model was asked for."""
        return self._model.usage_by_operation if self._model is not None else {}

    @property
    def notices(self) -> Sequence[Notice]:
        """What a person should know of the last learned runs, oldest first; also logged."""
        return tuple(self._engine.notices)

    # --- recording ------------------------------------------------------------------------------

    def task(
        self,
        query: str,
        *,
        context: str = "",
        agents: Mapping[str, str] | None = None,
        run_id: str | None = None,
        source: str = "run",
        trust: float = 1.0,
        metadata: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin to record a run; use it as `with memory.task(...) as run:` or `async with`.

        Args:
            query: What the team is asked.
            context: The scene in which it is asked.
            agents: Role of each agent, by name.
            run_id: Id of the task; the same run stored twice under it is stored once.
            source: Where the trace comes from.
            trust: How far to trust it, in [0, 1]; at 0 it is kept, and never recalled nor learned from;
                below .5 it has no say in what are the habits of the team.
            metadata: Further facts, as text.
        """
        return Run(
            query, team=self.team, finish=self._engine.finish, recaller=self._engine.recall,
            context=context, agents=agents, run_id=run_id, source=source, trust=trust, metadata=metadata,
        )  # fmt: skip

    def feedback(
        self,
        run_id: str,
        *,
        outcome: Outcome | None = None,
        score: float | None = None,
        text: str = "",
        reason: str = "",
        blame: tuple[str, int, str] | None = None,
    ) -> Task:
        """Add a later judgement to a task; it is learned from anew.

        Args:
            run_id: The task.
            outcome: What came of it, now that it is known.
            score: The figure of a judge.
            text: What a person said of it.
            reason: Why it failed.
            blame: Who was to blame, as (agent, number of the utterance, why).

        Raises:
            UnknownId: There is no such task.
            InvalidInput: A value cannot be stored; nothing was changed.
        """
        return run(self._feedback(run_id, outcome, score, text, reason, blame))

    async def afeedback(
        self,
        run_id: str,
        *,
        outcome: Outcome | None = None,
        score: float | None = None,
        text: str = "",
        reason: str = "",
        blame: tuple[str, int, str] | None = None,
    ) -> Task:
        """Await `feedback`."""
        return await arun(self._feedback(run_id, outcome, score, text, reason, blame))

    def _feedback(self, run_id: str, outcome: Any, score: Any, text: str, reason: str, blame: Any) -> Flow[Task]:
        return self._engine.feedback(run_id, outcome=outcome, score=score, text=text, reason=reason, blame=blame)

    # --- recalling ------------------------------------------------------------------------------

    def recall(self, query: str, role: str = "", *, run_id: str = "", **settings: Any) -> Recall:
        """Find what helps with a query.

        Args:
            query: What the team is asked.
            role: Role or agent to deliver to; '' for everybody.
            run_id: The run that asks, if there is one: its own task is left out, and its control
                group is kept back.  Its ledger is written by `Run.note_recall`.
            **settings: Any field of `RecallSettings`, such as `budget=800`.

        Returns:
            Lessons and cases, best first, with `text` for a prompt; empty (and false) if nothing in
            memory is like the query.
        """
        return run(self._engine.recall(query, role, run_id=run_id, **settings))

    async def arecall(self, query: str, role: str = "", *, run_id: str = "", **settings: Any) -> Recall:
        """Await `recall`."""
        return await arun(self._engine.recall(query, role, run_id=run_id, **settings))

    def recall_each(
        self, query: str, roles: Iterable[str], *, run_id: str = "", **settings: Any
    ) -> dict[str, Recall]:  # fmt: skip
        """Find what helps with a query for several roles at once, which takes little longer than for one.

        Args:
            query: What the team is asked.
            roles: Roles or agents to deliver to.
            run_id: As for `recall`.
            **settings: As for `recall`; they hold for each role by itself.

        Returns:
            What `recall` gives, by role.
        """
        return run(self._engine.recall_each(query, roles, run_id=run_id, **settings))

    async def arecall_each(
        self, query: str, roles: Iterable[str], *, run_id: str = "", **settings: Any
    ) -> dict[str, Recall]:  # fmt: skip
        """Await `recall_each`."""
        return await arun(self._engine.recall_each(query, roles, run_id=run_id, **settings))

    # --- looking --------------------------------------------------------------------------------

    def tasks(self, *, outcome: Outcome | None = None, limit: int | None = None) -> list[Task]:
        """Give the tasks, newest first; `limit` of them at most.

        Raises:
            InvalidInput: There is no such outcome, or the limit is below 0.
        """
        if outcome is not None:
            checks.choice(outcome, "outcome", get_args(Outcome))
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise InvalidInput(f"limit must be a whole number, 0 or more, or None for all, not {limit!r}")
        ids = self.store.task_ids(self.team, outcome=outcome)[::-1]
        return self.store.tasks(self.team, ids[:limit])

    def get(self, task_id: str) -> Task:
        """Give one task; UnknownId if there is none of that id."""
        return self.store.tasks(self.team, [task_id])[0]

    def interaction(self, task_id: str) -> Interaction:
        """Give the interaction graph of a task, as its utterances in order."""
        return self.store.interaction(self.team, task_id)

    def insights(self, *states: InsightState) -> list[Insight]:
        """Give the insights in any of some states (all of them by default), best supported first.

        Raises:
            InvalidInput: There is no such state.
        """
        for state in states:
            checks.choice(state, "state", get_args(InsightState))
        found = self.store.insights(self.team, states=states)
        standing = {i.id: self.store.standing(self.team, i.id) for i in found}
        return sorted(found, key=lambda i: (standing[i.id].contradicts - standing[i.id].supports, i.id))

    def stats(self) -> TeamStats:
        """Measure the memory of this team."""
        return self.store.stats(self.team)

    def query_graph(self) -> nx.Graph[str]:
        """Give the query tier as a networkx graph."""
        from gmem.graphs import tiers

        return tiers.query_graph(self.store, self.team)

    def insight_graph(self) -> nx.MultiDiGraph[str]:
        """Give the insight tier, with the tasks it rests on, as a networkx graph."""
        from gmem.graphs import tiers

        return tiers.insight_graph(self.store, self.team)

    def interaction_graph(self, task_id: str) -> nx.MultiDiGraph[int]:
        """Give the interaction tier of one task as a networkx graph."""
        from gmem.graphs import tiers

        return tiers.interaction_graph(self.interaction(task_id))

    # --- keeping --------------------------------------------------------------------------------

    def learn(self, progress: Progress | None = None) -> int:
        """Learn from verified tasks that were stored but not learned from; returns how many."""
        return run(self._engine.learn(progress))

    async def alearn(self, progress: Progress | None = None) -> int:
        """Await `learn`."""
        return await arun(self._engine.learn(progress))

    def consolidate(self) -> tuple[str, ...]:
        """Merge and retire insights; returns the ids of those that changed.  Happens by itself too."""
        return run(self._engine.consolidate())

    async def aconsolidate(self) -> tuple[str, ...]:
        """Await `consolidate`."""
        return await arun(self._engine.consolidate())

    def forget(self, *, task: str = "", agent: str = "", source: str = "", everything: bool = False) -> Receipt:
        """Remove tasks with all that hangs on them, and give the space back.

        Args:
            task: One task, by id.
            agent: Every task in which an agent took part.
            source: Every task from a source.
            everything: The whole memory of this team.
        """
        return run(self._engine.forget(task=task, agent=agent, source=source, everything=everything))

    async def aforget(self, *, task: str = "", agent: str = "", source: str = "", everything: bool = False) -> Receipt:
        """Await `forget`."""
        return await arun(self._engine.forget(task=task, agent=agent, source=source, everything=everything))

    def reembed(self, embedder: str | Embeddings | Embedder | None, progress: Progress | None = None) -> int:
        """Move the whole store, every team of it, to another embedding model; returns how many vectors.

        Others may go on.  What other programs store from then on is found by its words only, until they open
        the memory again; their recalls are refused with `EmbedderMismatch`.

        Args:
            embedder: As for `Memory`.
            progress: Told how many tasks are embedded, of how many.

        Raises:
            EmbeddingError: The model failed.
        """
        return run(self._engine.reembed(resolve(embedder), progress))

    async def areembed(self, embedder: str | Embeddings | Embedder | None, progress: Progress | None = None) -> int:
        """Await `reembed`."""
        return await arun(self._engine.reembed(resolve(embedder), progress))

    def close(self) -> None:
        """Release the store; closing twice is harmless."""
        self.store.close()

    async def aclose(self) -> None:
        """Await `close`."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Memory:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def open_store(location: str | Path, *, create: bool = True, auth: tuple[str, str] | None = None) -> GraphStore:
    """Open the store behind a path or URI.

    Args:
        location: Path of a file, or the address of a Neo4j server.
        create: Whether to make a missing memory.
        auth: User and password for a server.

    Raises:
        InvalidInput: It is a URI of a kind that this gmem cannot open.
    """
    if isinstance(location, str) and "://" in location:
        scheme = location.partition("://")[0]
        if scheme.partition("+")[0] not in ("neo4j", "bolt"):
            raise InvalidInput(
                f"no store opens {scheme}:// addresses; give the path of a file, such as 'team.gmem', or "
                "the address of a Neo4j server, such as 'neo4j://localhost:7687'"
            )
        from gmem.graphs._neo4j import Neo4jStore  # only here, since the driver takes its time to import

        return Neo4jStore(location, auth=auth, create=create)
    if auth is not None:
        raise InvalidInput(f"auth is for a server, and {str(location)!r} is a file; leave it out")
    return EmbeddedStore(location, create=create)
