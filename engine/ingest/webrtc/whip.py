"""`/whip`: WebRTC-HTTP ingestion (RFC 9725). Each POST is a publisher, whose media is sent by WebRTC.

A publisher whose network has changed posts again with `?resume=` and the last part of its `Location`. The new
connection replaces the old one, under the same speaker name and `Location`.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import cast, get_args
from urllib.parse import quote

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.errors import RefusedError
from engine.ingest.webrtc.peer import PeerConfig
from engine.ingest.webrtc.publication import Admission, Publication
from engine.ingest.webrtc.sdp import MAX_CANDIDATES, MAX_OFFER_BYTES, OfferError, check_offer
from engine.ingest.webrtc.trickle import parse_trickle
from engine.media import Analyse
from engine.names import ALL_CONVERSATIONS, name_problem

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
STATUS = {"full": 503, "too_many": 429, "speaker_taken": 409, "failed": 500}

MayPublish = Callable[[Request, str], bool]  # whether the sender may publish in a conversation
Admit = Callable[[Request, str, str], Admission]  # to a conversation, as a speaker. Raises RefusedError, AccessError.

log = logging.getLogger(__name__)


class Whip:
    """All publishers that use WHIP. The routes work inside `running()`."""

    def __init__(
        self, admit: Admit, may_publish: MayPublish, config: PeerConfig, max_tracks: int, allow_origin: str = ""
    ) -> None:
        self._admit = admit
        self._may_publish = may_publish
        self._config = config
        self._max_tracks = max_tracks
        self._allow_origin = allow_origin
        self._publications: dict[str, Publication] = {}  # by token
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def routes(self) -> list[Route]:
        endpoint, session = "/whip/{conversation}", "/whip/{conversation}/{token}"
        cors = Middleware(
            CORSMiddleware,
            allow_origins=[self._allow_origin] if self._allow_origin else [],
            allow_methods=["OPTIONS", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match"],
            expose_headers=["Location", "Link", "ETag", "Accept-Post"],
        )
        return [
            Route(path, handler, methods=[method], middleware=[cors])
            for path, method, handler in (
                (endpoint, "POST", self._post),
                (endpoint, "OPTIONS", self._options),
                (session, "PATCH", self._patch),
                (session, "DELETE", self._delete),
            )
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """On exit, disconnect the publishers that are left. See `end_all`."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                yield
            finally:
                for task in self._running:
                    task.cancel()

    async def end_all(self) -> None:
        """End every publisher; returns when the events of their last turns are published."""
        for publication in self._publications.values():
            publication.end()
        if self._running:
            await asyncio.wait(self._running)

    async def _post(self, request: Request) -> Response:
        try:
            conversation, speaker = _names(request)
            admission = self._admit(request, conversation, speaker)
            analyse = _analyse(request, self._config.require_consent)
            text = await _body(request, SDP)
            publication = self._begin(conversation, speaker, text, request.query_params.get("resume"), admission)
            publication.analyse = analyse  # before its task begins
            answer = await publication.answer
        except OfferError as error:
            return _problem(error.status, error.code, str(error))
        except RefusedError as refused:
            retry = {} if refused.retry_after_s is None else {"Retry-After": f"{refused.retry_after_s:.0f}"}
            return _problem(STATUS[refused.code], refused.code, str(refused), retry)
        location = f"/whip/{quote(conversation)}/{publication.token}"
        return self._linked(Response(answer, 201, {"Location": location, "ETag": publication.tag}, SDP))

    def _linked(self, response: Response) -> Response:
        for server in self._config.ice_servers:
            response.headers.append("Link", server.link())
        return response

    def _begin(
        self, conversation: str, speaker: str, offer: str, resume: str | None, admission: Admission
    ) -> Publication:
        """Start its task, which sets its answer."""
        assert self._tasks is not None, "the routes of Whip work inside running()"
        parsed = check_offer(offer, self._max_tracks)
        predecessor = self._publications.get(resume or "")
        if predecessor and (predecessor.conversation, predecessor.speaker) != (conversation, speaker):
            raise OfferError(409, "bad_resume", "This token belongs to another speaker or conversation.")
        token = predecessor.token if predecessor else secrets.token_urlsafe(16)
        publication = self._publications[token] = Publication(token, conversation, speaker, parsed)
        name = f"WHIP {speaker} in {conversation}"
        task = self._tasks.create_task(self._run(publication, offer, predecessor, admission), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return publication

    async def _run(
        self, publication: Publication, offer: str, predecessor: Publication | None, admission: Admission
    ) -> None:
        try:
            await publication.run(offer, self._config, admission, predecessor)
        except* (RefusedError, OfferError) as refused:
            if not publication.answer.done():
                publication.answer.set_exception(refused.exceptions[0])
        except* Exception:
            log.exception("a publisher in conversation %s failed; others go on", publication.conversation)
            if not publication.answer.done():
                publication.answer.set_exception(RefusedError("failed", "the engine failed to answer this offer"))
        finally:
            if not publication.answer.done():
                publication.answer.set_exception(RefusedError("full", "the engine is shutting down", retry_after_s=5.0))
            publication.over.set()
            if self._publications.get(publication.token) is publication:
                del self._publications[publication.token]

    async def _options(self, request: Request) -> Response:
        """Browsers need the ICE servers before they make an offer. Others must not learn their passwords."""
        answer = Response(status_code=204, headers={"Accept-Post": SDP})
        return self._linked(answer) if self._may_publish(request, request.path_params["conversation"]) else answer

    async def _patch(self, request: Request) -> Response:
        publication = self._found(request)
        if publication is None or publication.peer is None:
            return _unknown()
        try:
            trickle = parse_trickle(await _body(request, FRAGMENT))
            tag = request.headers.get("if-match")
            if tag is None:
                raise OfferError(428, "no_if_match", "Send If-Match with the ETag of the answer.")
            if trickle.ufrag is not None and trickle.ufrag not in publication.ufrags:
                raise OfferError(422, "no_ice_restart", "No ICE restart: publish again with resume=TOKEN.")
            if tag != publication.tag:
                raise OfferError(412, "other_session", "If-Match is not the ETag of this session.")
            publication.candidates += len(trickle.candidates)
            if publication.candidates > MAX_CANDIDATES:
                raise OfferError(422, "too_many_candidates", f"A session has at most {MAX_CANDIDATES} candidates.")
            for candidate in trickle.candidates:
                candidate.sdpMid = publication.mid
                await publication.peer.add_candidate(candidate)
            if trickle.last:
                await publication.peer.add_candidate(None)
        except OfferError as error:
            return _problem(error.status, error.code, str(error))
        return Response(status_code=204)

    async def _delete(self, request: Request) -> Response:
        """Answers when the last event is published, with the body of a WebSocket's last message."""
        publication = self._found(request)
        if publication is None:
            return _unknown()
        publication.end()
        await publication.over.wait()
        return JSONResponse({"type": "session.ended"} | asdict(publication.account()))

    def _found(self, request: Request) -> Publication | None:
        """The token authorizes access to a session: only its publisher knows it."""
        publication = self._publications.get(request.path_params["token"])
        if publication is None or publication.conversation != request.path_params["conversation"]:
            return None
        return publication


def _names(request: Request) -> tuple[str, str]:
    conversation, speaker = request.path_params["conversation"], request.query_params.get("speaker", "")
    for what, name in (("The conversation in the path", conversation), ("The query's speaker", speaker)):
        if problem := name_problem(what, name):
            raise OfferError(400, "bad_name", problem)
    if conversation == ALL_CONVERSATIONS:
        problem = f"No conversation may be called {ALL_CONVERSATIONS!r}: that means all of them."
        raise OfferError(400, "bad_name", problem)
    return conversation, speaker


def _analyse(request: Request, require_consent: bool) -> Analyse:
    """What may be done with the publisher's media, as in `session.start`. Raises OfferError."""
    analyse, consent = request.query_params.get("analyse", "all"), request.query_params.get("consent", "false")
    if analyse not in get_args(Analyse) or consent not in ("true", "false"):
        raise OfferError(400, "bad_request", "analyse is all, text or none, and consent is true or false.")
    if require_consent and analyse != "none" and consent != "true":
        advice = "ask the speaker and add consent=true, or analyse=none"
        raise OfferError(403, "consent_required", f"This engine needs consent: {advice}.")
    return cast(Analyse, analyse)


async def _body(request: Request, kind: str) -> str:
    """The whole body. Raises OfferError for another content type, or where it is too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise OfferError(415, "unsupported_media_type", f"The body's Content-Type must be {kind}.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_OFFER_BYTES:
            raise OfferError(413, "too_large", f"The body has at most {MAX_OFFER_BYTES} bytes.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise OfferError(400, "bad_sdp", "The body is not UTF-8.") from error


def _problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """The body is that of an error on a WebSocket."""
    body = {"type": "error", "code": code, "message": message, "fatal": True}
    return JSONResponse(body, status, headers)


def _unknown() -> Response:
    return _problem(404, "unknown_session", "There is no such session: it has ended, or the address is wrong.")
