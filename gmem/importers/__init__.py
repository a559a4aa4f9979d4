"""Traces that were recorded elsewhere, brought into a memory.

Each format is a module with one pure function `parse(path, watch)`, which reads a file and yields what
it finds as `Trace`s, or as `Refused` with the reason; `import_files` records the traces through the
same API that a live run uses.
"""

from gmem.importers.formats import FORMATS, detect
from gmem.importers.record import FileReport, ImportReport, import_files, replay
from gmem.importers.trace import Refused, Said, Trace

__all__ = ["FORMATS", "FileReport", "ImportReport", "Refused", "Said", "Trace", "detect", "import_files", "replay"]
