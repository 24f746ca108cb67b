"""What a role is given is given back: no connection is left to the collector."""

from types import SimpleNamespace

from atelier.cloud.services.sagemaker import access
from atelier.cloud.services.sagemaker.access import Access


class Clients(list):
    """The cloud, as far as it makes clients; a closed one leaves this list."""

    def __init__(self):
        self.identity = SimpleNamespace(assume=lambda *_, **__: object())

    def client(self, service, credentials):
        made = SimpleNamespace(service=service)
        made.close = lambda: self.remove(made)
        self.append(made)
        return made


def an_access(cloud):
    return Access(cloud, "arn:aws:iam::000000000000:role/r", "session")


def test_threads_share_one_client_of_a_service():
    cloud = Clients()
    shared = an_access(cloud)

    assert shared.shared("sns") is shared.shared("sns")
    assert ["sns"] == [each.service for each in cloud]


def test_clients_are_closed_with_what_lent_them():
    cloud = Clients()
    shared = an_access(cloud)
    shared.shared("sns")
    shared.shared("s3")

    del shared

    assert [] == cloud


def test_a_client_whose_credentials_have_aged_is_closed_for_a_new_one(monkeypatch):
    monkeypatch.setattr(access, "RENEW_AFTER", -1)
    cloud = Clients()
    shared = an_access(cloud)
    first = shared.shared("sns")

    second = shared.shared("sns")

    assert first is not second
    assert [second] == list(cloud)
