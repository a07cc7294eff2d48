"""What an event costs: `python -m benchmarks`.

One run on the embedded broker (or the one in STREAMREC_KAFKA__BOOTSTRAP), the same real
clicks for every contender, each contender a process of its own:

    workloads  the contenders, and which of them stand beside which
    load       the clicks as records, a model of real size, topics filled ahead
    meter      counts events and CPU seconds inside the process under measurement
    visitors   many visitors held: memory of one, and recovery beside a stock table
    road       both apps at once on all cores, and scoring alone
    running    the contenders as processes of their own
    contender  the processes themselves: raw client, stock Faust agent and table, our apps
    report     ratios, the table, build/bench/report.json

A ratio is the CPU time that one event costs the contender it is set beside, divided by
what it costs the work: how many times more events the work does in a CPU second. Where a figure has a
bound (rows recovered in a second, memory of a visitor), it is the part of it that the bound leaves.
"""

import os

# As the apps have it: the threads of numpy's algebra spin on cores that others need. Read when numpy is.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
