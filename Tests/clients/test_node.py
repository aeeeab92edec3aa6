"""Debian's Node with the package `ws`, its own `https` and `fetch`."""

import json
import os
import shutil
import subprocess
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs/node_client.js"


def test_node(edge, issuer, echo):
    # Debian's own Node looks for packages here by itself; another one in PATH does not.
    environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs", "NODE_EXTRA_CA_CERTS": str(edge.ca)}
    node = "/usr/bin/node" if Path("/usr/bin/node").exists() else shutil.which("node")
    result = subprocess.run(
        [node, PROGRAM, edge.url, edge.ca, issuer.token("node-user")], capture_output=True, text=True, timeout=60,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen == {
        "protocol": "echo.v1", "extensions": "permessage-deflate", "echo": "hello " * 1000, "pong": "are you there",
        "binary": [3_000_000, True, True], "close": [4007, "the service says so"], "plain": ["", "plain"],
        "ownClose": [1000, "done"], "refused": [401, "Bearer"], "keptAlive": True, "uploaded": 100_000,
        "fetch": [200, "/api/echo"],
    }
    told = echo.finished("node")
    assert told.fields["conduit-caller"] == "jwt:https://issuer.test/node-user"
    assert told.fields["sec-websocket-protocol"] == "echo.v1"
