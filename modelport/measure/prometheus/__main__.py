"""`modelport prometheus`: a real Prometheus with our alerts on a running stack (no overlay); Ctrl-C ends it."""

import argparse
import contextlib
import os
import sys
import time

from modelport.environment import ROOT, say
from modelport.measure.prometheus.prometheus import Pod, Prometheus, check_port
from modelport.stack.errors import StackError


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="modelport prometheus", description=__doc__)
    parser.add_argument("--port", type=int, default=9090, help="of Prometheus (default: %(default)s)")
    parser.add_argument("--stack-port", type=int, default=8080, help="of the stack (default: %(default)s)")
    parser.add_argument("--triton-port", type=int, default=8000, help="of its Triton (default: %(default)s)")
    options = parser.parse_args()
    pod = Pod("local-0", "local", options.stack_port, options.triton_port + 2)
    prometheus = Prometheus(pod, ROOT / "build" / "prometheus" / str(os.getpid()), options.port)
    try:
        check_port(options.port)
        prometheus.start()
    except StackError as error:
        sys.exit(f"error: {error}")
    say(f"{prometheus.url}/graph scrapes port {pod.http_port}; alerts: {prometheus.alerts_page()}; Ctrl-C ends")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
    prometheus.stop()


if __name__ == "__main__":
    main()
