"""A Faust app on the batch transport, with its settings checked.

Faust takes most of its settings from the environment too, so that a variable set for
something else could turn on what loses state. What matters is checked after the fact.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiokafka
import faust
from faust.serializers import codecs
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from streamrec.access import addresses, client_options
from streamrec.config import KafkaSettings, Settings
from streamrec.engine.log import MAX_FETCH_BYTES
from streamrec.engine.tested import TESTED
from streamrec.engine.works import Works
from streamrec.errors import EngineError

__all__ = ["App", "check_app", "create_app"]

# Out of the way. Between two polls lies a batch of each partition; a client that finds that too long
# leaves its group and does not come back (aiokafka). Who is stuck, the watchdog sees.
_MAX_POLL_INTERVAL_S = 86_400.0

# To unpickle is to run what a record says. Nothing here does; nothing by mistake can.
for _name in [name for name in codecs.codecs if "pickle" in name]:
    del codecs.codecs[_name]


class _Flow(FlowControlEvent):
    """What lets batches into queues, and empties those whenever Faust stops it."""

    def resume(self) -> None:
        """Let batches in. Faust says so several times in a rebalance, and would empty the queues each time.

        What had come in between would be gone, and missed only when the next batch of its partition comes.
        """
        if not self.is_active():
            super().resume()


class App(faust.App):
    """A Faust app that knows how it connects."""

    kafka: KafkaSettings

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken = asyncio.Event()
        """Set whenever the agent has begun or ended a batch."""
        self.full: frozenset[TP] = frozenset()
        """Partitions of which a batch waits for the one in work: none of their records is asked for."""
        self.works: Works | None = None
        """The batches that the agent has taken. Set by runner.add_agent, as the two above are kept by it."""

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """Whether batches go into queues now. Asked for by Faust."""
        return _Flow()

    def batches_queued(self) -> int:
        """How many batches are handed on and not taken by the agent yet. Replaced by runner.add_agent."""
        return 0

    def _create_directories(self) -> None:
        """Nothing is kept on disk; Faust would make its folders where the worker was started."""


def create_app(settings: Settings, role: str) -> App:
    """A Faust app for one role (`state`, `scoring`); its consumer group is prefix and role.

    Raises EngineError if Faust or aiokafka is not a version the engine was tested with.
    """
    for package, installed in (("faust-streaming", faust.__version__), ("aiokafka", aiokafka.__version__)):
        if installed not in TESTED[package]:
            raise EngineError(
                f"{package} {installed} is installed, but the batch engine was tested with "
                f"{', '.join(sorted(TESTED[package]))}; install `{package}=={max(TESTED[package])}`"
            )
    kafka = settings.kafka
    app = App(
        f"{kafka.prefix}{role}",
        broker=";".join(f"batchkafka://{address}" for address in addresses(kafka)),
        broker_credentials=_credentials(client_options(kafka)),
        store="memory://",
        topic_partitions=kafka.partitions,
        # Topics are made ahead, with the settings they need (streamrec topics create).
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        web_tables_enabled=False,
        web_router_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        broker_max_poll_records=kafka.max_poll_records,
        broker_max_poll_interval=_MAX_POLL_INTERVAL_S,
        broker_session_timeout=kafka.session_timeout_s,
        # How long the group waits for a worker that is alive and does not come.
        broker_rebalance_timeout=kafka.stall_timeout_s / 2,
        broker_heartbeat_interval=kafka.session_timeout_s / 3,
        broker_commit_interval=kafka.commit_interval_s,
        # The runner waits for the batch in work itself; Faust's own wait can hang a rebalance.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        # Out of the way: how many batches wait is the transport's to bound, fairly over the partitions. A
        # queue under pressure lets its partitions in again later, those of a recovery that has ended too:
        # nobody takes their batches, and behind them the worker stands still.
        stream_buffer_maxsize=4096,
        table_standby_replicas=kafka.standbys,
    )
    app.kafka = kafka
    return app


def _credentials(options: Mapping[str, Any]) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """A client's options, as Faust wants them."""
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            mechanism=options["sasl_mechanism"],
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def check_app(app: faust.App) -> None:
    """Raise EngineError for settings under which the engine would lose or double events."""
    guarantee = app.conf.processing_guarantee.value
    if guarantee != "at_least_once":
        raise EngineError(
            f"processing_guarantee={guarantee!r}: Faust's exactly_once loses state and doubles output when a "
            "worker is killed (faust-streaming issues 323, 177, 517, 136). streamrec is exact without it; "
            "unset PROCESSING_GUARANTEE"
        )
    for agent in app.agents.values():
        if agent.concurrency > 1:
            raise EngineError(
                f"agent {agent.name!r} has concurrency={agent.concurrency}: the batches of a partition "
                "have to be handled in order; add partitions and workers instead"
            )
