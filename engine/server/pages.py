"""HTTP: the pages, the state of the engine, and the wire contract."""

from contextlib import suppress
from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from engine.access.guard import Access, set_cookie, token_of
from engine.access.tokens import AccessError
from engine.delivery.wire import json_schema
from engine.server.contract import asyncapi
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

DASHBOARD = Path(__file__).resolve().parents[2] / "clients" / "dashboard"
CALL = DASHBOARD.parent / "call"
SDK = DASHBOARD.parent / "sdk"
DEMO = Path(__file__).resolve().parents[1] / "demo" / "conversation.flac"  # which the first page plays


def page_routes(supervisor: Supervisor, sinks: EventSinks, access: Access, allow_origin: str = "") -> list[BaseRoute]:
    """`allow_origin`: whose pages may load the SDK from here, beside the engine's own."""

    async def index(request: Request) -> Response:
        page = DASHBOARD / "index.html"
        if not page.is_file():
            return PlainTextResponse("The dashboard is not part of this installation.", status_code=404)
        return FileResponse(page)

    async def call(request: Request) -> Response:
        return FileResponse(CALL / "index.html")

    async def demo(request: Request) -> Response:
        return FileResponse(DEMO, media_type="audio/flac")

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        """With a token that allows metrics, the state of the parts, too."""
        ready = supervisor.ready
        status: dict[str, object] = {"ready": ready}
        with suppress(AccessError):
            access.check(request, "metrics")
            status |= {**supervisor.status, **sinks.status()}
        return JSONResponse(status, status_code=200 if ready else 503)

    async def session(request: Request) -> Response:
        """A page swaps the token of its link for a cookie."""
        token = token_of(request)
        grant = access.read(token)
        response = Response(status_code=204)
        if token:
            set_cookie(request, response, token, grant)
        return response

    async def contract(request: Request) -> Response:
        return JSONResponse(asyncapi())

    async def schema(request: Request) -> Response:
        return JSONResponse(json_schema(), media_type="application/schema+json")

    sdk_cors = Middleware(CORSMiddleware, allow_origins=[allow_origin] if allow_origin else [])
    return [
        Route("/", index),
        Route("/call", call),
        Route("/static/demo.flac", demo),
        Mount("/sdk", StaticFiles(directory=SDK, check_dir=False), middleware=[sdk_cors]),
        Mount("/static/call", StaticFiles(directory=CALL, check_dir=False)),
        Mount("/static", StaticFiles(directory=DASHBOARD, check_dir=False)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/session", session, methods=["POST"]),
        Route("/asyncapi.json", contract),
        Route("/schema/events.json", schema),
    ]
