"""The operators' pages, asked over real HTTP."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from streamrec import metrics
from streamrec.engine.web import OperatorsPages
from streamrec.errors import ConfigError


class App:
    reason: str | None = "recovering visitor-states"

    def ready(self) -> str | None:
        return self.reason


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def pages(app: App) -> AsyncIterator[OperatorsPages]:
    pages = OperatorsPages("127.0.0.1", 0, app.ready)
    await pages.start()
    yield pages
    await pages.stop()


async def get(pages: OperatorsPages, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{pages.port}{path}") as response,
    ):
        return response.status, await response.text()


async def test_metrics_shows_our_registry(pages):
    metrics.input_gaps.inc(0)
    status, text = await get(pages, "/metrics")
    assert status == 200
    assert "# TYPE streamrec_input_gaps_total counter" in text
    assert "process_cpu_seconds_total" in text


async def test_readiness_names_the_reason_until_ready(pages, app):
    assert await get(pages, "/readyz") == (503, "not ready: recovering visitor-states\n")
    app.reason = None
    assert await get(pages, "/readyz") == (200, "ready\n")


async def test_liveness_does_not_depend_on_readiness(pages):
    assert await get(pages, "/livez") == (200, "alive\n")


async def test_there_are_no_other_pages(pages):
    assert (await get(pages, "/table/"))[0] == 404
    assert (await get(pages, "/"))[0] == 404


async def test_a_taken_port_names_the_setting(pages):
    second = OperatorsPages("127.0.0.1", pages.port, lambda: None)
    with pytest.raises(ConfigError, match=r"taken; set STREAMREC_WEB__PORT"):
        await second.start()
    await second.stop()


async def test_a_foreign_address_names_the_setting():
    foreign = OperatorsPages("192.0.2.1", 0, lambda: None)
    with pytest.raises(ConfigError, match="STREAMREC_WEB__HOST"):
        await foreign.start()


async def test_an_inherited_socket_is_served_on_and_closed_at_the_end(app):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        pages = OperatorsPages("192.0.2.1", 1, app.ready, fd=listening.detach())
    await pages.start()
    assert pages.port == address[1]
    assert (await get(pages, "/livez"))[0] == 200
    await pages.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_a_number_that_is_no_socket_names_the_setting(app, tmp_path):
    with (tmp_path / "file").open("wb") as file:
        pages = OperatorsPages("127.0.0.1", 0, app.ready, fd=file.fileno())
        with pytest.raises(ConfigError, match="STREAMREC_WEB__FD"):
            await pages.start()


async def test_stopping_frees_the_port(app):
    pages = OperatorsPages("127.0.0.1", 0, app.ready)
    await pages.start()
    port = pages.port
    await pages.stop()
    with socket.create_server(("127.0.0.1", port)):
        pass
