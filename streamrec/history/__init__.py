"""History: every interaction of the topic in Parquet files, beyond the topic's retention.

    names     what a file is called: topic, topic id, partition, offset range; and its day
    columns   records as Parquet, and back
    store     the folder or bucket: files written whole or not at all, and damaged ones named
    coverage  which file has which offset, each once, and what is missing
    roll      records of a partition, until they are a file
    archiver  what the archive app does with a batch
    sources   what there is to read: the topic, and imported files
    reading   records and clicks, out of the files
    feedback  what each visitor did, out of the files
    rows, fields, spool, importing   files of others into history, through the checks of live traffic

The files are the truth. What the archive app has committed in Kafka is bookkeeping.
"""

from streamrec.history.coverage import Covered
from streamrec.history.feedback import history_feedback
from streamrec.history.reading import history_clicks, history_coverage, history_records

__all__ = ["Covered", "history_clicks", "history_coverage", "history_feedback", "history_records"]
