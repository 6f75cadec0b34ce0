"""Redfish sessions: bounded, checked, ended."""

from __future__ import annotations

from kedge.lab.redfish_sessions import MAX_SESSIONS, Sessions


def test_a_token_is_valid_until_its_session_ends() -> None:
    sessions = Sessions()
    name, token = sessions.open("admin")
    assert sessions.valid(token)
    assert not sessions.valid(token[:-1])
    assert not sessions.valid("\udce4")
    assert sessions.user(name) == "admin"
    assert sessions.close(name)
    assert not sessions.close(name)
    assert not sessions.valid(token)


def test_the_number_of_sessions_is_bounded_and_the_idlest_goes() -> None:
    sessions = Sessions()
    first, other = sessions.open("admin"), sessions.open("admin")
    for _ in range(MAX_SESSIONS - 1):
        assert sessions.valid(first[1])
        sessions.open("admin")
    assert len(sessions.ids()) == MAX_SESSIONS
    assert sessions.valid(first[1])
    assert not sessions.valid(other[1])
    sessions.clear()
    assert not sessions.valid(first[1])
