"""The agents' functions over history, with a virtual clock and without a broker.

History goes through `streamrec.advance` and `streamrec.ranking` as it goes through the state and
scoring apps: under the same settings and the same releases the lists are those of the live run,
byte for byte but for the time of emission, which here follows from the history's own times.

    history        records by partition: a file of clicks, or the interactions topic
    releases       which version of the session model is live at which record
    configuration  files with the settings of a run
    planning       what was asked for, as plans
    partition      one partition: the state step, then the lists
    judge          each list against the next click of its session
    run            all partitions
    summary        figures, and comparisons of runs
"""

from streamrec.backtest.configuration import Configuration, load_configuration, parse_time
from streamrec.backtest.planning import Wishes, foresight, make_plans
from streamrec.backtest.run import Plan, Tally, run_backtest
from streamrec.backtest.summary import Comparison, compare, metric_names, summarise

__all__ = [
    "Comparison",
    "Configuration",
    "Plan",
    "Tally",
    "Wishes",
    "compare",
    "foresight",
    "load_configuration",
    "make_plans",
    "metric_names",
    "parse_time",
    "run_backtest",
    "summarise",
]
