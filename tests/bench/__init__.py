"""The figures that gmem promises, measured on this machine: `python -m tests.bench --help`.

One module a topic; each has a function `measure(bench)` that gives tables.  Where a figure has something
to be held against (one bare numpy search, one bare SQLite transaction, the import of numpy), both are
measured in turns in the same process, so that a busy machine is busy for both.
"""
