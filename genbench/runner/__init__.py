"""Where a cell runs: a worker process per cell, started by a template that has torch loaded, watched by a supervisor.

supervisor (the user's command; no torch)
    └─ template (imports torch once, then only forks)
          └─ worker (one cell: loads, builds, trains, evaluates; then gone)
"""
