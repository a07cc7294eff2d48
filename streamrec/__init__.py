"""streamrec: clicks into Kafka, fresh recommendations out of it."""

__version__ = "0.1.0"
