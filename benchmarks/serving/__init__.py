# SPDX-License-Identifier: Apache-2.0
"""What the service withstands and what it costs: one command a figure, each starts a server of its own.

    python -m benchmarks.serving.soak --minutes 30            memory, open files and p99 over a long run
    python -m benchmarks.serving.overload                     5 x capacity, leaving clients, a killed worker, SIGTERM
    python -m benchmarks.serving.slow_clients                 1000 slow or idle connections of each kind
    python -m benchmarks.serving.doors                        keys, Origin, Host, methods and paths: ways around them
    python -m benchmarks.serving.privacy                      marked strings in logs, metrics, answers and folders
    python -m benchmarks.serving.paddlex_side --environment FOLDER --golden GOLDEN      PaddleX's server beside ours
    python -m benchmarks.serving.page                         docs/serving-figures.md from the results

Each writes `results/<command>.json`; a run that was cut has written what it measured so far. All take seconds to
minutes but the soak. `client` speaks HTTP, `load` makes many requests, `server_process` starts the service, `record`
writes figures, `payloads` are what is sent.
"""
