"""The pure heart of the state app: input records in, rows of visitor-states out.

`advance(records, state, step_model, canary)` applies a batch of one partition's interactions to
the partition's state and returns the changed rows, in the order of their one append,
and the records refused. No clock, no Kafka, no chance: the rows are a function of the
partition's input alone, however it is cut into batches and however often the state is
restored from its rows in between.

    records    what comes in, and the checks that need no state
    partition  PartitionState: the rows, and what is derived from them
    batch      advance: one interaction after the other
    learning   popularity and the online model
    stepping   which session model serves whom
    steps      the session model's hidden states, in rounds over the batch
    waiting    the rows that wait for what the models make of the call
    changes    what comes out

Item rows become visible to lists at ticks of event time: before the first visitor row
of a new tick stand the rows of all items changed in the ticks before it, as they were
when the tick began. Item rows at the end of an append, behind its visitor rows, are
there to be durable; a reader holds them back until the next tick.
"""

from streamrec.advance.batch import advance
from streamrec.advance.changes import Changes
from streamrec.advance.partition import PartitionState, Place
from streamrec.advance.records import DeadLetter, InputRecord, partition_of

__all__ = ["Changes", "DeadLetter", "InputRecord", "PartitionState", "Place", "advance", "partition_of"]
