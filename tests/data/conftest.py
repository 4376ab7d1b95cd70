import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """These tests cut no power, and fsync on a busy disk takes longer than all of them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
