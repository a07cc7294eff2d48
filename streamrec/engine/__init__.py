"""The batch engine: Faust's rebalancing, recovery and commits, a batch at a time.

What an app is made of (see the module of each for the details):

    app        create_app: a Faust app on the batch transport, with its settings checked
    transport  hands all records of one partition and poll to an agent as one message
    table      PartitionTable: rows of visitor-states, recovered by Faust, batch-wise
    log        Log: whole record batches out, acknowledged; one append is all or nothing
    reader     read a range of a partition, or follow a broadcast topic, without a group
    runner     from a handler of batches to an agent, and from an app to a process
    tested     the versions of Faust and aiokafka it was tested with
    memory     MemoryLog: the same seam without Kafka, for tests of everything above

A handler is `async def handle(batch: Batch) -> None`. When it returns, the batch is
done: its effects are acknowledged by Kafka and its offset may be committed. When it
raises, the process stops with the batch uncommitted; after the restart it comes again.
"""
