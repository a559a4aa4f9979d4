"""The embedded store: an SQLite file as the record, networkx and numpy as its cache."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmem.errors import InvalidInput, StoreCorrupt, UnknownId
from gmem.graphs import codec
from gmem.graphs._cache import TeamCache
from gmem.graphs._cached import CachedStore
from gmem.graphs._carrying import OP, Record
from gmem.graphs._check import check
from gmem.graphs._record import RecordFile, Transaction
from gmem.graphs._writing import carry_out, check_model, read_model, replace_vectors
from gmem.graphs.base import Batch
from gmem.ids import digest
from gmem.model import (
    Interaction,
    Model,
    Task,
)

__all__ = ["EmbeddedStore"]


class EmbeddedStore(CachedStore):
    """Keeps the graphs of many teams in one file; needs no server.

    Several threads and processes may use the same file at once.  When `write` returns, the whole
    write survives `kill -9` and every process sees it; otherwise none of it is there; and a damaged
    file is reported, never half-read.

    Args:
        path: The file; made if it is missing, unless `create` is False.
        create: Whether to make a missing file.
        timeout: Seconds to wait for another process that is writing.

    Raises:
        StoreNotFound: There is no such file (with `create=False`) or folder.
        NotAMemory: The file is something else.
        StoreVersionError: A newer gmem wrote it.
        StoreCorrupt: It is damaged.
    """

    def __init__(self, path: str | Path, *, create: bool = True, timeout: float = 10.0) -> None:
        self._file = RecordFile(Path(path).expanduser(), create=create, timeout=timeout)
        self._looked = threading.local()
        self._drop_cache()
        try:
            self._file.verify()
            with self._file.lock:
                self._refresh()
        except BaseException:
            self._file.close()
            raise

    @property
    def location(self) -> str:
        return str(self._file.path)

    # --- the cache ----------------------------------------------------------------------------

    # The cache has no lock of its own: the file's lock guards it, so that both cross a fork together.

    def _drop_cache(self) -> None:
        self._teams: dict[str, TeamCache] = {}
        self._model: Model | None = None
        self._seq = 0
        self._version: tuple[int, int] | None = None

    def _refresh(self) -> None:
        """Bring the cache up to date with what was written, by this process or another."""
        if self._version is not None and getattr(self._looked, "fresh", False):
            return
        version = self._file.version()
        if version == self._version:
            return
        try:
            head = self._file.since(self._seq, self._take)
            if head is None:  # something was forgotten
                self._drop_cache()
                head = self._file.since(0, self._take) or 0
            self._model = read_model(self._file.meta("embedder"))
        except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            self._drop_cache()
            raise StoreCorrupt(f"{self.location}: a record cannot be read ({error!r}); see `gmem doctor`") from error
        except BaseException:
            self._drop_cache()  # half of what is new would be worse than none
            raise
        self._seq, self._version = head, version

    def _take(self, kind: str, team: str, id: str, body: bytes) -> None:
        found = self._teams.get(team)
        if found is None:
            found = self._teams[team] = TeamCache(team)
        found.apply(kind, id, body)

    @contextlib.contextmanager
    def _held(self, team: str) -> Iterator[tuple[TeamCache, Model | None]]:
        with self._file.lock:
            self._refresh()
            found = self._teams.get(team)
            yield TeamCache(team) if found is None else found, self._model

    @contextlib.contextmanager
    def reading(self, team: str) -> Iterator[None]:
        with self._file.lock:
            self._refresh()
        before = getattr(self._looked, "fresh", False)
        self._looked.fresh = True
        try:
            yield
        finally:
            self._looked.fresh = before

    def _size(self) -> int:
        return self._file.size()

    # --- writing ------------------------------------------------------------------------------

    def write(self, batches: Sequence[Batch]) -> list[bool]:
        batches = list(batches)
        return self._file.run(lambda tx: [carry_out(tx, batch) for batch in batches])

    def set_embedder(
        self,
        model: Model | None,
        vectors: Iterable[tuple[str, str, NDArray[np.float32]]] = (),
        *,
        first: bool = False,
    ) -> None:
        check_model(model)
        given = list(vectors)  # before anything is locked: making them may read this or another store
        self._file.run(lambda tx: replace_vectors(tx, model, given, first))

    # --- reading ------------------------------------------------------------------------------

    def embedder(self) -> Model | None:
        with self._file.lock:
            self._refresh()
            return self._model

    def teams(self) -> list[str]:
        with self._file.lock:
            self._refresh()
            return sorted(team for team, cache in self._teams.items() if len(cache) or cache.insights)

    def applied(self, team: str, op_ids: Sequence[str]) -> set[str]:
        named = {digest(team, op_id): op_id for op_id in op_ids}
        return {named[found] for found in self._file.ops(list(named))}

    def tasks(self, team: str, ids: Sequence[str]) -> list[Task]:
        found = []
        for id in ids:
            body = self._file.get("task", team, id)
            if body is None:
                raise UnknownId(f"team {team!r} has no task {id!r}; `gmem tasks` lists them")
            found.append(codec.unpack_task(team, id, body))
        return found

    def interaction(self, team: str, task_id: str) -> Interaction:
        body = self._file.get("trace", team, task_id)
        if body is not None:
            return codec.unpack_interaction(task_id, body)
        self.tasks(team, [task_id])  # raises if there is no such task
        return Interaction(task_id, ())

    # --- carrying -----------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        return self._file.everything()

    def load(self, model: Model | None, records: Iterable[Record]) -> None:
        if next(iter(self._file.everything()), None) is not None:
            raise InvalidInput(f"{self.location} holds something already; only an empty memory is filled")

        def work(tx: Transaction) -> None:
            if model is not None:
                tx.set_meta("embedder", f"{model.dimension} {model.name}")
            for kind, team, id, body in records:
                if kind == OP:
                    tx.begin(id)
                else:
                    tx.put(kind, team, id, body)

        self._file.run(work)

    # --- keeping ------------------------------------------------------------------------------

    def check(self) -> list[str]:
        return check(self._file)

    def compact(self) -> None:
        self._file.compact()

    def close(self) -> None:
        self._file.close()
