"""MLflow's server with the manners that `study ui` needs, as a plugin of ``mlflow server --app-name study``.

The UI opens on its pages for training, wherever one clicks, and not on those for language models; and the
assistant, which can run shell commands on this machine for whoever reaches the port, does not answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mlflow.server.fastapi_app import app as mlflow_app

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# What the UI remembers in the browser (seen in MLflow 3.17); a choice that was made there stands.
PREFERENCES = b"""<script>
for (const [key, value] of [
  ["mlflow.workflowType_v1", "machine_learning"],
  ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", true],
]) localStorage.getItem(key) ?? localStorage.setItem(key, JSON.stringify(value));
</script>"""

# Headers that speak of the page before the script was put in.
STALE = (b"content-length", b"etag", b"last-modified")


class Site:
    """An ASGI application around another one."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if "/mlflow/assistant" in path:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        elif scope["type"] == "http" and path in ("", "/"):
            await self.inner(without_conditions(scope), receive, Page(send))
        else:
            await self.inner(scope, receive, send)


class Page:
    """Passes an answer on, with the preferences put into its head once the whole page is there."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        self.body += message.get("body", b"")
        if message.get("more_body"):
            return
        page = self.body.replace(b"<head>", b"<head>" + PREFERENCES, 1)
        headers = [(name, value) for name, value in self.start["headers"] if name.lower() not in STALE]
        length = (b"content-length", str(len(page)).encode())
        await self.send({**self.start, "headers": [*headers, length]})
        await self.send({"type": "http.response.body", "body": page})


def without_conditions(scope: Message) -> Message:
    """The request without "only if it changed": the page that would be compared is not the one sent."""
    headers = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(b"if-")]
    return {**scope, "headers": headers}


app = Site(mlflow_app)
