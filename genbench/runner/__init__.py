"""Running cells: a worker process for each, forked by a server that has torch loaded and watched by a supervisor.

supervisor (the user's command; no torch)
    └─ fork server (imports torch once, then only forks)
          └─ worker (one cell: loads, builds, trains, evaluates, then exits)
"""
