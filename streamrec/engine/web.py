"""The operators' pages of an app: /metrics, /livez and /readyz.

/metrics shows `streamrec.metrics.REGISTRY`. /livez answers as long as the event loop turns and
never asks Kafka: a broker that is away is no reason to restart a worker. /readyz answers 503
with the reason until the app is ready.
"""

import errno
import socket
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamrec.errors import ConfigError
from streamrec.metrics import REGISTRY

__all__ = ["OperatorsPages"]


class OperatorsPages:
    """Serves the pages on one address.

    host, port: where to listen; port 0 takes a free one.
    fd: a listening socket of ours to serve on instead; -1 for none.
    ready: None once the app is ready, else the reason why not; called in the event loop.
    """

    def __init__(self, host: str, port: int, ready: Callable[[], str | None], fd: int = -1) -> None:
        self._host = host
        self._port = port
        self._ready = ready
        self._fd = fd
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port listened on once started; before that, the one asked for."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    async def start(self) -> None:
        """Begin to listen. Raises ConfigError if the address cannot be had."""
        app = web.Application()
        app.router.add_get("/metrics", _metrics)
        app.router.add_get("/livez", _alive)
        app.router.add_get("/readyz", self._readiness)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await self._site(runner).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(self._advice(error)) from None
        self._runner = runner

    def _site(self, runner: web.AppRunner) -> web.BaseSite:
        if self._fd < 0:
            return web.TCPSite(runner, self._host, self._port)
        return web.SockSite(runner, socket.socket(fileno=self._fd))

    async def stop(self) -> None:
        """Stop listening. Does nothing if it never began."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _advice(self, error: OSError) -> str:
        if self._fd >= 0:
            return (
                f"the operators' pages cannot listen on file {self._fd}, which is no listening socket "
                f"({error.strerror or error}); unset STREAMREC_WEB__FD"
            )
        where = f"the operators' pages cannot listen on {self._host}:{self._port}"
        if error.errno == errno.EADDRINUSE:
            return f"{where}: the port is taken; set STREAMREC_WEB__PORT to a free one"
        if error.errno == errno.EACCES:
            return f"{where}: the port needs privileges; set STREAMREC_WEB__PORT to one above 1023"
        return f"{where}: {error.strerror or error}; set STREAMREC_WEB__HOST to an address of this machine"

    async def _readiness(self, _: web.Request) -> web.Response:
        reason = self._ready()
        if reason is None:
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready: {reason}\n", status=503)


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")
