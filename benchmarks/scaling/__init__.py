"""How the hot path grows past one machine: `python -m benchmarks.scaling`, docs/scaling.md.

inputs    what is asked for, what was chosen, and what was measured; the one place of these figures
capacity  arithmetic: workers, volume, memory, recovery, cost
kernel    a small kernel of discrete events
arrivals  when clicks come, by partition
road      what state and scoring workers do with them
fleet     one share of a fleet simulated: freshness, peaks, a worker's death, how many workers
measure   the one-machine set-up measured, to hold the simulator against
check     the two beside each other
tables    what is printed
plots     the curves of docs/scaling.md
"""

import os

# As the apps have it. Read when numpy is.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
