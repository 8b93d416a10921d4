"""All on the event loop that the server runs on, whose transports are not asyncio's."""

import uvloop


def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}
