"""Application load balancers at work: requests go through real ones to real servers."""

from __future__ import annotations

import gzip
import http.client
import shlex
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from load_balancer_world import World, ask, certificate, connected, forward

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services import query
from atelier.cloud.services.elasticloadbalancing import access_logs, live, places
from atelier.cloud.services.elasticloadbalancing.exchange import Exchange
from atelier.cloud.services.elasticloadbalancing.plugin import PLUGIN
from atelier.cloud.services.elasticloadbalancing.service import load_balancers
from atelier.cloud.services.wire import ServiceError


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A world with one of each, and requests for one more."""
    world = World(tmp_path_factory.mktemp("full"))
    group, (balancer, _) = world.group(), world.balancer()
    listener = world.listener(balancer, forward(group))
    rule = {
        "ListenerArn": listener,
        "Priority": 5,
        "Conditions": [{"Field": "path-pattern", "Values": ["/a"]}],
        "Actions": [forward(group)],
    }
    world("CreateRule", **rule)
    more = {"Name": "more", "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-1", "TargetType": "ip"}
    owner = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 81, "DefaultActions": [forward(group)]}
    yield (
        world,
        {
            "CreateTargetGroup": more,
            "CreateLoadBalancer": {"Name": "more", "Subnets": ["a", "b"]},
            "CreateListener": owner,
            "CreateRule": {**rule, "Priority": 6},
            "RegisterTargets": {"TargetGroupArn": group},
        },
    )
    world.close()


def test_a_request_reaches_a_healthy_target_and_its_answer_comes_back(world):
    service = world.service("one")
    _, name = world.fleet(service)

    status, body, _headers = ask(name, "/a?b=c", Host="shop.example")

    assert (200, b"one") == (status, body)
    [seen] = service.asked("/a?b=c")
    assert "shop.example" == seen["Host"]
    assert "127.0.0.1" == seen["X-Forwarded-For"]
    assert ("http", "80") == (seen["X-Forwarded-Proto"], seen["X-Forwarded-Port"])
    assert seen["X-Amzn-Trace-Id"].startswith("Root=1-")


def test_a_deregistered_target_ends_what_it_works_on_and_gets_nothing_new(world):
    slow, other = world.service("slow"), world.service("other")
    group, name = world.fleet(slow, delay=3600)
    begun, go_on = threading.Event(), threading.Event()

    def linger(handler):
        begun.set()
        go_on.wait(20)
        handler.reply(200, b"done")

    slow.paths["/long"] = linger
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        world.register(group, other)
        world.deregister(group, slow)
        answers = [ask(name)[1] for _ in range(5)]
        state = world.state(group, slow)
        go_on.set()

    assert [b"other"] * 5 == answers
    assert "draining" == state
    assert (200, b"done") == long.result()[:2]
    world.until(group, slow, "unused")  # long before its delay is over


def test_a_deregistered_target_that_works_on_nothing_is_gone_at_once(world):
    leaves, stays = world.service("leaves"), world.service("stays")
    group, name = world.fleet(leaves, stays, delay=3600)
    ask(name), ask(name)  # so that there are open connections, of which nobody uses one

    world.deregister(group, leaves)

    world.until(group, leaves, "unused")
    assert {b"stays"} == {ask(name)[1] for _ in range(4)}


def test_a_target_drains_until_the_last_of_its_requests_has_ended(world):
    slow, begun = world.service("slow"), [threading.Event(), threading.Event()]
    go_on = [threading.Event(), threading.Event()]
    for number in (0, 1):
        slow.paths[f"/{number}"] = lambda handler, at=number: (
            begun[at].set(), go_on[at].wait(20), handler.reply(200, b"done"),
        )  # fmt: skip
    group, name = world.fleet(slow, delay=3600)
    with ThreadPoolExecutor() as pool:
        first, second = (pool.submit(ask, name, f"/{number}") for number in (0, 1))
        assert all(each.wait(10) for each in begun)
        world.deregister(group, slow)
        go_on[0].set()
        first.result()
        state = world.state(group, slow)
        go_on[1].set()

    assert "draining" == state
    assert (200, b"done") == second.result()[:2]
    world.until(group, slow, "unused")


def test_what_a_deregistered_target_still_works_on_is_cut_off_when_its_time_is_over(world):
    slow = world.service("slow")
    group, name = world.fleet(slow, delay=1)
    begun, go_on = threading.Event(), threading.Event()
    slow.paths["/long"] = lambda handler: (begun.set(), go_on.wait(20))
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        world.deregister(group, slow)
        status = long.result()[0]
        go_on.set()

    assert 502 == status
    assert "unused" == world.state(group, slow)
    assert 503 == ask(name)[0]


def test_a_target_that_begins_to_fail_gets_no_more_requests(world):
    good, bad = world.service("good"), world.service("bad")
    group, name = world.fleet(good, bad)

    assert {b"good", b"bad"} == {ask(name)[1] for _ in range(4)}

    bad.paths["/"] = lambda handler: handler.reply(500, b"broken")
    world.until(group, bad, "unhealthy")

    assert {b"good"} == {ask(name)[1] for _ in range(4)}


def test_targets_take_turns(world):
    one, two = world.service("one"), world.service("two")
    _, name = world.fleet(one, two)

    assert 10 == [ask(name)[1] for _ in range(20)].count(b"one")


def test_the_least_busy_target_is_asked_where_the_group_says_so(world):
    busy, free = world.service("busy"), world.service("free")
    group, name = world.fleet(busy, free)
    world.attribute(group, "load_balancing.algorithm.type", "least_outstanding_requests")
    begun, go_on = threading.Event(), threading.Event()
    for each in (busy, free):
        each.paths["/long"] = lambda handler: (begun.set(), go_on.wait(20), handler.reply(200, b"long"))
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        asked = {ask(name)[1] for _ in range(6)}
        go_on.set()

    assert 1 == len(asked)
    assert 200 == long.result()[0]


def test_an_answer_is_passed_on_as_it_comes(world):
    service, go_on = world.service(), threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"5\r\nfirst\r\n")
        go_on.wait(20)
        handler.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

    service.paths["/drip"] = drip
    _, name = world.fleet(service)

    with connected(name) as connection:
        connection.request("GET", "/drip")
        answer = connection.getresponse()
        first = answer.read1()
        go_on.set()

        assert (b"first", b"last") == (first, answer.read())


def test_a_body_is_passed_on_whole_and_its_connection_is_used_again(world):
    service = world.service()
    _, name = world.fleet(service)
    large = b"x" * 3_000_000

    with connected(name) as connection:
        for number in range(3):
            connection.request("POST", f"/{number}", large, {"Expect": "100-continue"})
            assert b"one" == connection.getresponse().read()

    assert [large] * 3 == service.bodies


def test_a_header_of_one_connection_goes_no_further(world):
    service = world.service()
    _, name = world.fleet(service)

    ask(name, "/a", Connection="X-Mine", X_Mine="1", X_Forwarded_For="10.0.0.9", Keep_Alive="5", Cookie="a=b")

    [seen] = service.asked("/a")
    assert "a=b" == seen["Cookie"]
    assert "10.0.0.9, 127.0.0.1" == seen["X-Forwarded-For"]
    assert set() == {"X-Mine", "Keep-Alive"} & seen.keys()


def test_nothing_is_added_to_an_answer_and_nothing_is_changed(world):
    service = world.service()
    packed = gzip.compress(b"hello")

    def bare(handler):
        handler.send_response_only(203, "Quite Fine")
        for name, value in (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Encoding", "gzip")):
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    service.paths["/bare"] = bare
    _, name = world.fleet(service)

    with connected(name) as connection:
        connection.request("GET", "/bare")
        answer = connection.getresponse()

        assert (203, "Quite Fine", packed) == (answer.status, answer.reason, answer.read())
        assert ["a=1", "b=2"] == answer.headers.get_all("Set-Cookie")
        assert {"Set-Cookie", "Content-Encoding", "Content-Length", "Date"} == set(answer.headers)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("append", "1.2.3.4, 127.0.0.1"), ("preserve", "1.2.3.4"), ("remove", None)],
)
def test_who_a_request_is_for_is_told_as_the_attribute_says(world, mode, expected):
    service = world.service()
    balancer, name = world.balancer(**{"routing.http.xff_header_processing.mode": mode})
    group = world.group(service)
    world.listener(balancer, forward(group))
    world.until(group, service, "healthy")

    ask(name, "/a", X_Forwarded_For="1.2.3.4")

    assert expected == service.asked("/a")[0].get("X-Forwarded-For")


def test_without_targets_the_answer_is_503(world):
    balancer, name = world.balancer()
    world.listener(balancer, forward(world.group()))

    status, body, headers = ask(name)

    assert 503 == status
    assert b"503 Service Temporarily Unavailable" in body
    assert "awselb/2.0" == headers["Server"]


def test_a_target_that_is_gone_is_502_and_breaks_off_what_it_had_begun(world):
    service = world.service()
    _, name = world.fleet(service)

    def break_off(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    service.paths["/half"] = break_off
    service.paths["/none"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(name, "/half")
    assert 502 == ask(name, "/none", "POST", b"x")[0]

    service.die()

    assert 502 == ask(name)[0]


def test_a_target_that_says_no_http_is_502(world):
    service = world.service()
    _, name = world.fleet(service)
    service.paths["/odd"] = lambda handler: handler.wfile.write(b"what?\r\n\r\n")

    assert 502 == ask(name, "/odd")[0]


def test_a_target_that_takes_too_long_is_504(world):
    service, go_on = world.service(), threading.Event()
    service.paths["/slow"] = lambda handler: go_on.wait(20)
    balancer, name = world.balancer(**{"idle_timeout.timeout_seconds": "1"})
    group = world.group(service)
    world.listener(balancer, forward(group))
    world.until(group, service, "healthy")

    assert 504 == ask(name, "/slow")[0]
    go_on.set()


def test_what_is_no_http_is_refused_by_the_load_balancer_itself(world):
    _, name = world.fleet(world.service())
    host, _, port = name.partition(":")

    with socket.create_connection((host, int(port or 80))) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        said = connection.recv(4096)

    assert said.startswith(b"HTTP/1.1 400 Bad Request") or said.startswith(b"HTTP/1.0 400 Bad Request")
    assert b"aiohttp" not in said


def test_a_websocket_is_refused_and_not_mistaken_for_a_request(world):
    service = world.service()
    _, name = world.fleet(service)

    assert 501 == ask(name, "/ws", Upgrade="websocket", Connection="Upgrade")[0]
    assert [] == service.asked("/ws")


def test_rules_choose_by_path_host_header_method_and_query(world):
    names = ("path", "host", "header", "method", "query", "other")
    services = {name: world.service(name) for name in names}
    groups = {name: world.group(services[name], name=name) for name in names}
    balancer, name = world.balancer()
    listener = world.listener(balancer, forward(groups["other"]))
    conditions = {
        "path": {"Field": "path-pattern", "Values": ["/img/*.png", "/b?d"]},
        "host": {"Field": "host-header", "Values": ["*.example.com"]},
        "header": {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["v*"]}},
        "method": {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}},
        "query": {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "q", "Value": "1"}]}},
    }  # fmt: skip
    for number, (key, condition) in enumerate(conditions.items(), 1):
        world("CreateRule", ListenerArn=listener, Priority=number, Conditions=[condition],
              Actions=[forward(groups[key])])  # fmt: skip
    for key, each in services.items():
        world.until(groups[key], each, "healthy")

    assert b"path" == ask(name, "/img/x.png")[1]
    assert b"path" == ask(name, "/bad")[1]
    assert b"host" == ask(name, "/img/x.gif", Host="WWW.example.com:80")[1]
    assert b"header" == ask(name, X_A="Value")[1]
    assert b"method" == ask(name, method="PUT", body=b"")[1]
    assert b"query" == ask(name, "/?a=2&q=1")[1]
    assert b"other" == ask(name, "/?q=2", Host="example.com")[1]


def test_weights_share_requests_out(world):
    one, two, none = (world.service(each) for each in ("one", "two", "none"))
    groups = [world.group(each, name=each.name) for each in (one, two, none)]
    balancer, name = world.balancer()
    rows = [
        {"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(groups, (30, 10, 0), strict=True)
    ]
    world.listener(balancer, {"Type": "forward", "ForwardConfig": {"TargetGroups": rows}})
    for group, each in zip(groups, (one, two, none), strict=True):
        world.until(group, each, "healthy")

    answers = [ask(name)[1] for _ in range(120)]

    assert answers.count(b"one") > answers.count(b"two") > 0
    assert 0 == answers.count(b"none")


def test_a_redirect_keeps_what_it_does_not_change(world):
    balancer, name = world.balancer()
    config = {"Protocol": "HTTPS", "Port": "8443", "Host": "new.#{host}", "StatusCode": "HTTP_302"}
    world.listener(balancer, {"Type": "redirect", "RedirectConfig": config})

    status, _, headers = ask(name, "/a/b?c=d", Host="old.example")

    assert 302 == status
    assert "https://new.old.example:8443/a/b?c=d" == headers["Location"]


def test_all_is_there_again_after_a_restart_but_what_drained(world):
    stays, leaves = world.service("stays"), world.service("leaves")
    group, name = world.fleet(stays, leaves, delay=3600)
    world.deregister(group, leaves)

    world.stop()
    with pytest.raises(OSError):
        ask(name)
    world.start()
    world.until(group, stays, "healthy")

    assert {b"stays"} == {ask(name)[1] for _ in range(4)}
    world.until(group, leaves, "unused")


def test_a_changed_listener_lets_requests_end_that_came_before(world):
    service, go_on, begun = world.service(), threading.Event(), threading.Event()
    service.paths["/long"] = lambda handler: (begun.set(), go_on.wait(20), handler.reply(200, b"long"))
    balancer, name = world.balancer()
    group = world.group(service)
    world.listener(balancer, forward(group))
    world.until(group, service, "healthy")
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        changed = [{"Key": "idle_timeout.timeout_seconds", "Value": "50"}]
        world("ModifyLoadBalancerAttributes", LoadBalancerArn=balancer, Attributes=changed)
        other = ask(name)[1]
        go_on.set()

    assert b"one" == other
    assert (200, b"long") == long.result()[:2]


def test_a_target_that_comes_back_while_it_drains_serves_again(world):
    service = world.service()
    group, name = world.fleet(service, delay=3600)
    begun, go_on = threading.Event(), threading.Event()
    service.paths["/long"] = lambda handler: (begun.set(), go_on.wait(20), handler.reply(200, b"long"))
    with ThreadPoolExecutor() as pool:
        long = pool.submit(ask, name, "/long")
        begun.wait(10)
        world.deregister(group, service)
        refused = ask(name)[0]
        world.register(group, service)
        world.until(group, service, "healthy")
        go_on.set()

    assert (503, 200) == (refused, long.result()[0])
    assert (200, "healthy") == (ask(name)[0], world.state(group, service))


def test_changing_rules_while_clients_ask_fails_no_request(world):
    one, two = world.service("one"), world.service("two")
    group, name = world.fleet(one, two, delay=3600)
    balancer = world("DescribeLoadBalancers")["LoadBalancers"][0]["LoadBalancerArn"]
    [listener] = world("DescribeListeners", LoadBalancerArn=balancer)["Listeners"]
    over, answers = threading.Event(), []

    def client():
        with connected(name) as connection:
            while not over.is_set():
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                answers.append(answer.status)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for each in threads:
        each.start()
    for _ in range(10):
        for service in (one, two):
            world.deregister(group, service)
            time.sleep(0.05)
            world.register(group, service)
            world.until(group, service, "healthy")
        world("ModifyListener", ListenerArn=listener["ListenerArn"], DefaultActions=[forward(group)])
    over.set()
    for each in threads:
        each.join()

    assert {200} == set(answers)


def test_cloudwatch_is_told_what_was_asked_and_how_healthy_targets_are(world):
    service = world.service()
    service.paths["/bad"] = lambda handler: handler.reply(404, b"no")
    _, name = world.fleet(service)
    for path in ("/", "/", "/bad"):
        ask(name, path)

    live.of(world.cloud).do(live.of(world.cloud).report())

    told = {(name, len(where)): each[0].total for (_, name, where), each in world.metrics.told.items()}
    assert 3 == told["RequestCount", 1] == told["RequestCount", 2]
    assert (2, 1) == (told["HTTPCode_Target_2XX_Count", 1], told["HTTPCode_Target_4XX_Count", 1])
    assert (3, 1) == (told["RequestCountPerTarget", 1], told["HealthyHostCount", 2])
    assert 0 < told["TargetResponseTime", 2] < 30


def test_a_line_of_the_access_log_has_all_fields_and_cannot_be_forged():
    exchange = Exchange(
        balancer="arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/door/0123",
        kind="http",
        client="127.0.0.1:999",
        request='GET http://door:80/a"b HTTP/1.1',
        agent='x" evil\n"',
        trace="Root=1-2-3",
    )

    line = access_logs.line(exchange)

    assert 30 == len(shlex.split(line))
    assert ["app/door/0123", "127.0.0.1:999"] == shlex.split(line)[2:4]
    assert '"GET http://door:80/a\\x22b HTTP/1.1" "x\\x22 evil\\x0a\\x22"' in line


def test_one_port_stands_for_the_two_that_only_the_administrator_may_open(world):
    service = world.service()
    group, (balancer, _) = world.group(service), world.balancer()
    address = load_balancers(world.cloud).get(balancer)["Address"]
    with places.bound(address, 0) as free:
        port = free.getsockname()[1]
    load_balancers(world.cloud).change(balancer, Instead=port)
    [shown] = world("DescribeLoadBalancers")["LoadBalancers"]
    name = shown["DNSName"]
    config = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    world.listener(balancer, {"Type": "redirect", "RedirectConfig": config})
    text, arn = world.certificate()
    secure = {"Protocol": "HTTPS", "Port": 443, "Certificates": [{"CertificateArn": arn}]}
    world.listener(balancer, forward(group), **secure)
    world.until(group, service, "healthy")
    trusting = ssl.create_default_context(cadata=text.decode())
    trusting.check_hostname = False

    status, _, headers = ask(name, "/a")
    with urllib.request.urlopen(headers["Location"], timeout=30, context=trusting) as answer:
        body = answer.read()

    assert f"{address}:{port}" == name
    assert (301, f"https://{name}/a") == (status, headers["Location"])
    assert b"one" == body
    assert "https" == service.asked("/a")[0]["X-Forwarded-Proto"]
    with pytest.raises(ServiceError, match="stands for all of them"):
        world.listener(balancer, forward(group), Port=81)


def test_a_certificate_that_does_not_fit_its_key_is_refused(world):
    (text, _), (_, key) = certificate("one.example"), certificate("two.example")

    with pytest.raises(ServiceError, match="not that of the certificate"):
        world.imported(text, key)


def test_a_port_that_another_program_has_is_refused_and_leaves_nothing_behind(world):
    balancer, _name = world.balancer()
    address = load_balancers(world.cloud).get(balancer)["Address"]
    with places.bound(address, 0) as taken, pytest.raises(Refused, match="cannot be opened"):
        world.listener(balancer, forward(world.group()), Port=taken.getsockname()[1])

    assert [] == world("DescribeListeners", LoadBalancerArn=balancer)["Listeners"]


def test_a_port_that_was_taken_while_the_cloud_was_down_is_told_and_tried_again(world):
    _, name = world.fleet(world.service())
    host, _, port = name.partition(":")
    world.stop()
    with places.bound(host, int(port or 80)):
        world.start()
        [shown] = world("DescribeLoadBalancers")["LoadBalancers"]

    assert "failed" == shown["State"]["Code"]
    assert "cannot be opened" in shown["State"]["Reason"]

    live.of(world.cloud).do(live.of(world.cloud).report())

    [shown] = world("DescribeLoadBalancers")["LoadBalancers"]
    assert "active" == shown["State"]["Code"]
    assert 200 == ask(name)[0]


def test_tls_is_told_to_targets_where_the_attribute_says_so(world):
    service, (text, arn) = world.service(), world.certificate()
    balancer, _ = world.balancer(**{"routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "true"})
    group = world.group(service)
    secure = {"Protocol": "HTTPS", "Port": 8443, "Certificates": [{"CertificateArn": arn}]}
    policy = "ELBSecurityPolicy-TLS13-1-3-2021-06"
    world.listener(balancer, forward(group), **secure, SslPolicy=policy)
    world.until(group, service, "healthy")
    address = load_balancers(world.cloud).get(balancer)["Address"]
    trusting = ssl.create_default_context(cadata=text.decode())
    trusting.check_hostname = False

    urllib.request.urlopen(f"https://{address}:8443/a", timeout=30, context=trusting).close()
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(urllib.error.URLError, match="SSL"):
        urllib.request.urlopen(f"https://{address}:8443/b", timeout=30, context=trusting)

    [seen] = service.asked("/a")
    assert ("TLSv1.3", "8443") == (seen["X-Amzn-Tls-Version"], seen["X-Forwarded-Port"])
    assert seen["X-Amzn-Tls-Cipher-Suite"].startswith("TLS_")
    assert [] == service.asked("/b")


@pytest.mark.parametrize(
    ("operation", "request_", "said"),
    [
        ("CreateTargetGroup", {"TargetType": "instance"}, "only ip"),
        ("CreateTargetGroup", {"Protocol": "HTTPS"}, "only HTTP"),
        ("CreateTargetGroup", {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 5}, "smaller"),
        ("CreateTargetGroup", {"Matcher": {"HttpCode": "200-"}}, "200-499"),
        ("CreateTargetGroup", {"Name": "-x"}, "not valid"),
        ("CreateLoadBalancer", {"Subnets": ["one"]}, "two subnets"),
        ("CreateLoadBalancer", {"Type": "gateway"}, "not part of the local cloud"),
        ("CreateListener", {"Protocol": "HTTPS"}, "needs one certificate"),
        ("CreateListener", {"DefaultActions": [{"Type": "authenticate-oidc"}]}, "not part of the local"),
        ("CreateListener", {"DefaultActions": [{"Type": "forward", "TargetGroupArn": "x"}]}, "not found"),
        ("CreateRule", {"Priority": 5}, "currently in use"),
        ("CreateRule", {"Conditions": [{"Field": "path-pattern", "RegexValues": ["a"]}]}, "RegexValues"),
        ("CreateRule", {"Conditions": [{"Field": "source-ip", "SourceIpConfig": {"Values": ["x"]}}]}, "CIDR"),
        ("RegisterTargets", {"Targets": [{"Id": "10.0.0.1"}]}, "127.0.0.0/8"),
        ("RegisterTargets", {"Targets": [{"Id": "i-123"}]}, "not valid"),
    ],
)
def test_what_cannot_be_or_is_not_done_here_is_refused_by_name(full, operation, request_, said):
    world, usual = full

    with pytest.raises((ServiceError, Refused), match=said):
        world(operation, **{**usual[operation], **request_})


@pytest.mark.parametrize(
    ("operation", "member"),
    [("DeleteTargetGroup", "TargetGroupArn"), ("DeleteLoadBalancer", "LoadBalancerArn")],
)
def test_what_is_used_or_protected_is_not_deleted(full, operation, member):
    world, usual = full
    arn = usual["CreateListener" if member == "LoadBalancerArn" else "RegisterTargets"][member]
    attributes = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    owner = usual["CreateListener"]["LoadBalancerArn"]
    world("ModifyLoadBalancerAttributes", LoadBalancerArn=owner, Attributes=attributes)

    with pytest.raises(ServiceError, match=r"in use|deletion protection"):
        world(operation, **{member: arn})


def test_lines_that_were_not_written_when_the_cloud_went_down_are_written_later(tmp_path):
    written = {}

    class S3:
        def put_object(self, **request):
            written[request["Key"]] = request["Body"]

        def close(self):
            """Nothing is open."""

    class Delivered(Cloud):
        def client(self, service, credentials, **options):
            return S3()

    world = World(tmp_path, made_as=Delivered)
    attributes = {"access_logs.s3.enabled": "true", "access_logs.s3.bucket": "logs"}
    balancer, name = world.balancer(**attributes)
    world.listener(balancer, forward(world.group()))
    ask(name, "/lost?")
    world.stop()
    world.start()
    live.of(world.cloud).do(live.of(world.cloud).write())
    world.close()

    [key] = [each for each in written if each.endswith(".log.gz")]
    assert key.startswith("AWSLogs/000000000000/elasticloadbalancing/us-east-1/20")
    assert b"/lost? HTTP/1.1" in gzip.decompress(written[key])
    assert "AWSLogs/000000000000/ELBAccessLogTestFile" in written


def test_the_query_protocol_says_who_may_not_and_what_is_not_understood(world):
    world.identity.denied.add("elasticloadbalancing:CreateLoadBalancer")

    def said(form):
        status, _, body = query.answer(PLUGIN.service, world.cloud, form)
        return status, body.decode()

    status, body = said(b"Action=CreateLoadBalancer&Name=a%26b&Subnets.member.1=s&SecurityGroups=")
    assert (403, True) == (status, "<Type>Sender</Type><Code>AccessDenied</Code>" in body)
    assert "loadbalancer/app/a&amp;b/*" in body
    assert "<Code>UnknownParameter</Code>" in said(b"Action=DescribeTags&Odd=1")[1]
    assert "<Code>InvalidAction</Code>" in said(b"Action=Nothing")[1]
    assert "<Code>ValidationError</Code>" in said(b"Action=DescribeTags")[1]
    empty = said(b"Action=DescribeLoadBalancers&PageSize=5")[1]
    assert "<DescribeLoadBalancersResult><LoadBalancers></LoadBalancers></Describe" in empty
