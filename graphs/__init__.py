"""The three-tier graphs and where they are stored.

`GraphStore` is the contract, `EmbeddedStore` the default behind it: one file, no server.
"""

from gmem.graphs._embedded import EmbeddedStore
from gmem.graphs.base import Batch, Candidates, GraphStore, Standing, Tally, TeamStats, Work

__all__ = ["Batch", "Candidates", "EmbeddedStore", "GraphStore", "Standing", "Tally", "TeamStats", "Work"]
