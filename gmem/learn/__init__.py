"""Learning: condense a run, blame, link it, distil lessons, and keep them true."""

from gmem.learn.contrast import Contrast, Distiller, Lessons, Neighbour
from gmem.learn.gates import Gates
from gmem.learn.rules import RulesDistiller
from gmem.learn.study import Scholar, condensed

__all__ = ["Contrast", "Distiller", "Gates", "Lessons", "Neighbour", "RulesDistiller", "Scholar", "condensed"]
