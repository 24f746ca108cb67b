"""What a load balancer does with a request: the rule, its action, the target, and the account of it all."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp import web

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import answers, certificates, places, proxy, routing
from atelier.cloud.services.elasticloadbalancing.doors import Face
from atelier.cloud.services.elasticloadbalancing.exchange import Exchange
from atelier.cloud.services.elasticloadbalancing.pool import Group
from atelier.cloud.services.elasticloadbalancing.proxy import Manner, Pass
from atelier.cloud.services.elasticloadbalancing.service import groups_of, rules
from atelier.cloud.store import Record

USUAL = {"http": 80, "https": 443}


class Account(Protocol):
    """What wants to know of every request."""

    def add(self, exchange: Exchange) -> None:
        """Take in a request that is over."""
        ...


class Speaker:
    """Answers for all listeners of one cloud."""

    def __init__(
        self,
        cloud: Cloud,
        session: aiohttp.ClientSession,
        groups: Mapping[str, Group],
        *accounts: Account,
    ) -> None:
        self._cloud, self._session, self._groups, self._accounts = cloud, session, groups, accounts
        self._balancers: Mapping[str, Record] = {}
        self._listeners: Mapping[str, Record] = {}
        self._rules: Mapping[str, list[routing.Rule]] = {}

    def learn(self, balancers: Mapping[str, Record], listeners: Mapping[str, Record]) -> None:
        """Take in the records as they are now."""
        self._balancers, self._listeners = balancers, listeners
        found: dict[str, list[routing.Rule]] = {arn: [] for arn in listeners}
        for _, each in rules(self._cloud).items():
            if each["ListenerArn"] in found:
                rule = routing.Rule(each["Priority"], each["Conditions"], each["Actions"][-1])
                found[each["ListenerArn"]].append(rule)
        for arn, each in listeners.items():
            found[arn].sort(key=lambda rule: rule.priority or 0)
            found[arn].append(routing.Rule(None, (), each["DefaultActions"][-1]))
        self._rules = found

    def face(self, arn: str, shown: Record) -> Face:
        """Return what a listener shows."""
        tls: ssl.SSLContext | None = None
        if shown["Protocol"] == "HTTPS":
            tls = certificates.context(self._cloud, shown["Certificates"][0], shown["SslPolicy"])

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            return await self._answer(arn, request)

        return Face(answer, keep_alive=shown["KeepAlive"], tls=tls)

    async def _answer(self, arn: str, request: web.BaseRequest) -> web.StreamResponse:
        listener = self._listeners.get(arn)
        balancer = self._balancers.get(listener["LoadBalancerArn"]) if listener else None
        if listener is None or balancer is None:
            return answers.page(503)
        exchange = _exchange(request, listener)
        try:
            answer = await self._acted(request, exchange, listener, balancer)
            exchange.status = exchange.status or answer.status
        finally:
            exchange.ended = exchange.since()
            for each in self._accounts:
                each.add(exchange)
        return answer

    async def _acted(
        self, request: web.BaseRequest, exchange: Exchange, listener: Record, balancer: Record
    ) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return answers.page(501)  # not part of the local cloud, and no target may mistake it
        rule = routing.choose(self._rules[listener["Arn"]], _asked(request))
        exchange.priority, exchange.action = rule.priority, rule.action["Type"]
        if exchange.action == "fixed-response":
            return answers.fixed(rule.action["FixedResponseConfig"])
        if exchange.action == "redirect":
            return self._redirected(request, exchange, rule.action["RedirectConfig"], listener, balancer)
        exchange.group = routing.weighted(groups_of([rule.action])) or ""
        group = self._groups.get(exchange.group)
        target = group.choose() if group else None
        if target is None:
            return answers.page(503)
        exchange.target = f"{target.id}:{target.port}"
        passing = Pass(request, exchange, manner(balancer["Attributes"]))
        return await passing.to(
            self._session, target, scheme=listener["Protocol"].lower(), port=listener["Port"]
        )

    def _redirected(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        config: Mapping[str, str],
        listener: Record,
        balancer: Record,
    ) -> web.StreamResponse:
        path, _, query = proxy.asked_for(request).partition("?")
        place = routing.location(
            config,
            protocol=listener["Protocol"],
            host=_host(request),
            port=str(listener["Port"]),
            path=path,
            query=query,
        )
        exchange.redirect = _reachable(place, balancer)
        return answers.moved(301 if config["StatusCode"] == "HTTP_301" else 302, exchange.redirect)


def manner(attributes: Mapping[str, str]) -> Manner:
    """Return how a load balancer speaks to targets."""
    return Manner(
        idle=float(attributes["idle_timeout.timeout_seconds"]),
        forwarded=attributes["routing.http.xff_header_processing.mode"],
        shows_client_port=attributes["routing.http.xff_client_port.enabled"] == "true",
        drops_invalid=attributes["routing.http.drop_invalid_header_fields.enabled"] == "true",
        tells_tls=attributes["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] == "true",
    )


def _reachable(place: str, balancer: Record) -> str:
    """Return a redirect's place with the port that is really open, where another stands for 80 and 443."""
    head, _, rest = place.partition("://")
    authority, slash, path = rest.partition("/")
    host, _, port = authority.rpartition(":")
    if host == balancer["Address"] and port.isdecimal():
        port = str(places.of(balancer, {"Port": port})[1])
    return f"{head}://{host}:{port}{slash}{path}"


def _exchange(request: web.BaseRequest, listener: Record) -> Exchange:
    peer: Any = request.transport.get_extra_info("peername") if request.transport else None
    tls: Any = request.transport.get_extra_info("ssl_object") if request.transport else None
    scheme = listener["Protocol"].lower()
    text = f"{request.method} {scheme}://{request.headers.get('Host', '-')}{proxy.asked_for(request)}"
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    return Exchange(
        balancer=listener["LoadBalancerArn"],
        kind=scheme,
        client=f"{peer[0]}:{peer[1]}" if peer else "-:0",
        request=f"{text} {version}",
        agent=request.headers.get("User-Agent", "-"),
        trace=proxy.trace(request.headers.get("X-Amzn-Trace-Id")),
        domain=(tls.server_hostname or "-") if tls else "-",
        cipher=tls.cipher()[0] if tls and tls.cipher() else "-",
        protocol=(tls.version() or "-") if tls else "-",
        certificate=listener["Certificates"][0] if tls else "-",
    )


def _host(request: web.BaseRequest) -> str:
    return request.headers.get("Host", "").rsplit(":", 1)[0]


def _asked(request: web.BaseRequest) -> routing.Asked:
    return routing.Asked(
        method=request.method,
        host=_host(request),
        path=proxy.asked_for(request).partition("?")[0],
        query=tuple(request.query.items()),
        headers=request.headers,
        client=request.remote or ANY,
    )


ANY = "127.0.0.1"
