"""The door to Ray: trials of one source, spread over the machine's or the cluster's slots.

    nodes.py      starts and ends a cluster of several nodes on this machine
    jobs.py       sends a study to a running cluster, follows and stops it there
    session.py    connects to Ray, quietly and with token authentication
    attempt.py    one attempt at a trial and what it says; knows nothing of Ray
    trainable.py  what runs in a worker: one trial after another, data shared without a copy
    hanging.py    ends a process that hangs
    group.py      processes that have one GPU to themselves, to be measured there
    spread.py     Ray Tune itself: asks the source for trials, brings back rows and results

Nothing is imported here: Ray reads its settings when it is imported, and session.py makes them first.
"""
