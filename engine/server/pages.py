"""HTTP: the pages, the state of the engine, and the wire contract."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from engine.delivery.wire import json_schema
from engine.server.contract import asyncapi
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

DASHBOARD = Path(__file__).resolve().parents[2] / "clients" / "dashboard"
CALL = DASHBOARD.parent / "call"


def page_routes(supervisor: Supervisor, sinks: EventSinks) -> list[BaseRoute]:
    async def index(request: Request) -> Response:
        page = DASHBOARD / "index.html"
        if not page.is_file():
            return PlainTextResponse("The dashboard is not part of this installation.", status_code=404)
        return FileResponse(page)

    async def call(request: Request) -> Response:
        return FileResponse(CALL / "index.html")

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        ready = supervisor.ready
        status = {"ready": ready, **supervisor.status, **sinks.status()}
        return JSONResponse(status, status_code=200 if ready else 503)

    async def contract(request: Request) -> Response:
        return JSONResponse(asyncapi())

    async def schema(request: Request) -> Response:
        return JSONResponse(json_schema(), media_type="application/schema+json")

    return [
        Route("/", index),
        Route("/call", call),
        Mount("/static/call", StaticFiles(directory=CALL, check_dir=False)),
        Mount("/static", StaticFiles(directory=DASHBOARD, check_dir=False)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/asyncapi.json", contract),
        Route("/schema/events.json", schema),
    ]
