"""Times by a cron expression, in UTC, so that no hour comes twice or never."""

from datetime import UTC, datetime

from streamrec.errors import ConfigError

__all__ = ["Schedule"]


class Schedule:
    """The times that a cron expression names. Raises ConfigError if it is none."""

    def __init__(self, expression: str) -> None:
        # Not at the top: what serves reads settings too, and does not install it.
        from cronsim import CronSim, CronSimError

        self._times = CronSim
        self._expression = expression
        try:
            next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ConfigError(
                f"STREAMREC_TRAINING__SCHEDULE: {expression!r} is no cron expression ({error}); "
                "'0 3 * * *' is every day at three, UTC"
            ) from None
        except StopIteration:
            raise ConfigError(
                f"STREAMREC_TRAINING__SCHEDULE: {expression!r} names a day that never comes"
            ) from None

    def next_after(self, time_ms: int) -> int:
        """The first time after `time_ms`, both in ms since 1970."""
        found = next(self._times(self._expression, datetime.fromtimestamp(time_ms / 1000, UTC)))
        return round(found.timestamp() * 1000)
