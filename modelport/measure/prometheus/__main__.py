"""A real Prometheus on the stack that `make serve` runs (no overlay), with our alerts; Ctrl-C ends it.

With --pictures it sends a mixed load for a while, draws the dashboard's panel groups and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

from modelport.environment import ROOT, say
from modelport.measure.prometheus.prometheus import Pod, Prometheus
from modelport.stack.errors import StackError


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m modelport.measure.prometheus", description=__doc__)
    parser.add_argument("--port", type=int, default=9090, help="of Prometheus (default: %(default)s)")
    parser.add_argument("--stack-port", type=int, default=8080, help="of make serve (default: %(default)s)")
    parser.add_argument("--triton-port", type=int, default=8000, help="of make serve (default: %(default)s)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw into this folder")
    parser.add_argument("--seconds", type=float, default=120, help="of load before drawing (default: %(default)s)")
    options = parser.parse_args()
    pod = Pod("local-0", "local", options.stack_port, options.triton_port + 2)
    prometheus = Prometheus(pod, ROOT / "build" / "prometheus" / str(os.getpid()), options.port)
    try:
        prometheus.start()
    except StackError as error:
        sys.exit(f"error: {error}")
    try:
        if options.pictures is None:
            say(f"{prometheus.url}/graph reads {pod.http_port}; alerts: {prometheus.url}/alerts; Ctrl-C ends")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
            return
        from modelport.measure.prometheus.pictures import draw
        from modelport.measure.prometheus.traffic import Traffic

        url, grpc = f"http://127.0.0.1:{pod.http_port}", f"127.0.0.1:{pod.http_port + 1}"
        with Traffic(url, grpc) as traffic:
            started = time.time()
            time.sleep(options.seconds)
        say(f"sent: {dict(traffic.outcomes)}")
        for file in draw(prometheus, options.pictures, started, time.time()):
            say(f"{file}: {file.stat().st_size // 1024} KB")
    finally:
        prometheus.stop()


if __name__ == "__main__":
    main()
