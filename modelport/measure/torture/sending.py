"""The process that sends a load.

Usage: python -m modelport.measure.torture.sending URL SPEC

where SPEC is JSON as `Load` makes it. Ends when standard input closes, waits
for what is still under way, and prints what became of every request; before all that, a line when it begins.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import sys
import time
from collections.abc import Collection
from urllib.parse import urlsplit

import aiohttp
import grpc
from tritonclient.grpc import service_pb2

from modelport.measure.torture.load import PATIENCE_S, Load
from modelport.measure.torture.traffic import CUT, GRPC, PICTURE, REFUSED, UNANSWERED, Record, Request, requests

MAX_S = 180.0  # whatever happens
MAX_UNDER_WAY = 1000
# A gRPC code as the HTTP status that means the same.
STATUS = {"OK": "200", "RESOURCE_EXHAUSTED": "429", "UNAVAILABLE": "503", "DEADLINE_EXCEEDED": "504"}
NOBODY_LISTENED, CONNECTION_ENDED = "failed to connect", ("closed", "reset", "goaway", "recvmsg")


async def send(session: aiohttp.ClientSession, url: str, kind: str, request: Request, timeout_ms: int) -> Record:
    """One request, on a connection of its own, so that nobody can mistake a closed idle one for a lost request."""
    began, polite = time.monotonic(), True
    headers = {**request.headers, "x-request-timeout-ms": str(timeout_ms), "connection": "close"}
    try:
        async with session.post(f"{url}{request.path}", data=request.body, headers=headers) as response:
            await response.read()
            outcome = str(response.status)
            polite = response.status not in (429, 503) or "retry-after" in response.headers
    except aiohttp.ClientConnectorError:
        outcome = REFUSED
    except TimeoutError:
        outcome = UNANSWERED
    except aiohttp.ClientError:
        outcome = CUT
    return Record(began, kind, outcome, time.monotonic() - began, polite)


async def send_grpc(url: str, service: str, timeout_ms: int) -> Record:
    """One ModelInfer, on a channel of its own; gRPC has the port after REST's."""
    began, address = time.monotonic(), urlsplit(url)
    target = f"{address.hostname}:{(address.port or 0) + 1}"
    async with grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            await infer(
                infer_message(service), timeout=PATIENCE_S, metadata=[("x-request-timeout-ms", str(timeout_ms))]
            )
            outcome = "200"
        except grpc.aio.AioRpcError as error:
            said = (error.details() or "").lower()
            outcome = STATUS.get(error.code().name, error.code().name)
            if NOBODY_LISTENED in said:
                outcome = REFUSED
            elif any(word in said for word in CONNECTION_ENDED):
                outcome = CUT
            elif time.monotonic() - began >= PATIENCE_S:
                outcome = UNANSWERED
    return Record(began, f"{service} {GRPC}", outcome, time.monotonic() - began, polite=True)


def infer_message(service: str) -> bytes:
    """A ModelInferRequest with the picture."""
    picture = PICTURE.read_bytes()
    message = service_pb2.ModelInferRequest(model_name=service)
    message.inputs.add(name="image", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(len(picture).to_bytes(4, "little") + picture)
    return bytes(message.SerializeToString())


async def run(url: str, load: Load) -> Collection[Record]:
    """Send until standard input closes."""
    available, records = requests(), []
    kinds = itertools.cycle(load.kinds)
    closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    until = time.monotonic() + MAX_S

    def over() -> bool:
        return closed.done() or time.monotonic() > until

    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    sys.stdout.write("begins\n")
    sys.stdout.flush()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def one() -> None:
            kind = next(kinds)
            service, _, protocol = kind.partition(" ")
            if protocol == GRPC:
                records.append(await send_grpc(url, service, load.timeout_ms))
            else:
                records.append(await send(session, url, kind, available[kind], load.timeout_ms))

        async def caller() -> None:
            while not over():
                await one()
                if records[-1].outcome != "200":
                    await asyncio.sleep(0.1)

        if load.callers:
            await asyncio.gather(*[caller() for _ in range(load.callers)])
        else:
            under_way: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not over():
                if len(under_way) < MAX_UNDER_WAY:
                    task = asyncio.create_task(one())
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                due += 1 / load.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*under_way)
    closed.cancel()
    return records


if __name__ == "__main__":
    found = asyncio.run(run(sys.argv[1], Load(**json.loads(sys.argv[2]))))
    sys.stdout.write(json.dumps([dataclasses.astuple(record) for record in found]))
