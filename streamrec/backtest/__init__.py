"""The agents' functions over history, with a virtual clock and without a broker.

History goes through `streamrec.advance` and `streamrec.ranking` as it goes through the state and
scoring apps: under the same settings and the same releases the lists are those of the live run,
byte for byte but for the time of emission, which here follows from the history's own times.
"""

__all__: list[str] = []
