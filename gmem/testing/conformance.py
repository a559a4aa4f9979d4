"""What every `GraphStore` must do, as tests that its author inherits.

A backend proves itself with a class of a few lines:

    class TestMyStore(GraphStoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            with contextlib.closing(MyStore(tmp_path / "m")) as store:
                yield store

        def reopen(self, store):
            store.close()
            return MyStore(store.location)

Nothing in the suite may be skipped: what a store cannot do is marked as a strict expected failure.
"""

from __future__ import annotations

from gmem.testing._comparing import ComparingTests
from gmem.testing._keeping import KeepingTests
from gmem.testing._reading import ReadingTests
from gmem.testing._writing import WritingTests

__all__ = ["GraphStoreConformance"]


class GraphStoreConformance(WritingTests, ReadingTests, ComparingTests, KeepingTests):
    """The whole contract of `gmem.graphs.base`; inherit it, and give a `store` fixture and `reopen`."""
