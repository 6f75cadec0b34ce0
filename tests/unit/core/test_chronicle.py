"""From a node's log to the chain of causes: what a person did, what was seen, what steps did."""

from __future__ import annotations

from kedge.core.chronicle import Happening, Link, chronicle

WRITES = {
    "power.shut_down": frozenset(["power.state", "boot.stage", "image.running"]),
    "power.switch_on": frozenset(["power.state"]),
    "boot.load": frozenset(["boot.stage"]),
}
APPLIED = Happening(1, 0.0, "intent", "revision 5", after="apply: 8 changes", cause="alice")


def told(seq: int) -> Happening | None:
    return APPLIED if seq > 1 else None


def story(*lines: tuple[str, ...]) -> list[Link]:
    """Each line: what, subject, before, after, cause; a second apart."""
    log = [Happening(number, float(number), *line) for number, line in enumerate(lines, 2)]
    return chronicle(log, WRITES, told)


def short(links: list[Link]) -> list[tuple[str, int]]:
    """The words, and the place of what each follows from (0: nothing)."""
    places = {link.seq: place for place, link in enumerate(links, 1)}
    return [(link.words, places.get(link.because, 0)) for link in links]


def test_a_change_leads_to_steps_and_each_step_to_the_next() -> None:
    links = story(
        ("phase", "converged", "moving", "converged", "discovered is as configured"),
        ("observed", "image.running", "wanted", "unknown", "configured"),
        ("observed", "image.running", "unknown", "kernel", "agent"),
        ("phase", "waiting", "converged", "waiting", "for image.look to answer"),
        ("step", "power.shut_down", "", "started",
         "power.state=off, as image.running is kernel, should be wanted"),
        ("observed", "power.state", "on", "off", "bmc"),
        ("step", "power.shut_down", "started", "done", ""),
        ("step", "power.switch_on", "", "started", "power.state is off, should be on"),
    )  # fmt: skip
    assert short(links) == [
        ("alice: apply: 8 changes (revision 5)", 0),
        ("power.shut_down was done", 1),
        ("power.switch_on began", 2),
    ]
    assert [link.until - link.at for link in links[1:2]] == [2.0] and links[2].until == 0.0


def test_what_no_step_did_is_told_as_seen() -> None:
    links = story(
        ("phase", "converged", "moving", "converged", "discovered is as configured"),
        ("observed", "power.state", "on", "off", "bmc"),
        ("phase", "moving", "converged", "moving", "power.switch_on: ..."),
        ("step", "power.switch_on", "", "started", "power.state is off, should be on"),
        ("step", "power.switch_on", "started", "failed", "BMC 10.1.4.12 does not answer"),
        ("step", "power.switch_on", "", "started", "power.state is off, should be on"),
        ("step", "power.switch_on", "started", "timeout", ""),
        ("phase", "quarantined", "moving", "quarantined", "no way is left"),
    )
    assert short(links) == [
        ("power.state was on and is off", 0),
        ("power.switch_on failed: BMC 10.1.4.12 does not answer", 1),
        ("power.switch_on ran out of time", 2),
        ("quarantined", 3),
    ]
    assert links[0].why == "seen by bmc; no step of Kedge did it"


def test_a_request_is_the_cause_of_what_it_asked_for() -> None:
    links = story(
        ("request", "cycle-1", "", "power.state=off", "bob"),
        ("phase", "moving", "converged", "moving", "..."),
        ("step", "power.shut_down", "", "started", "power.state is on, should be off"),
        ("request", "cycle-1", "", "done", "bob"),
    )
    assert short(links) == [
        ("bob: pass once through power.state=off (cycle-1)", 0), ("power.shut_down began", 1),
    ]  # fmt: skip


def test_only_the_last_story_is_told_and_first_sights_only_where_they_lead_on() -> None:
    old = [
        ("goal", "power.state", "", "on", "configured"),
        ("observed", "health.standing", "unknown", "clear", "agent"),
        ("observed", "power.state", "unknown", "off", "bmc"),
        ("phase", "moving", "", "moving", "..."),
        ("step", "power.switch_on", "", "started", "power.state is off, should be on"),
        ("step", "power.switch_on", "started", "done", ""),
        ("phase", "converged", "moving", "converged", "discovered is as configured"),
    ]
    assert short(story(*old)) == [
        ("alice: apply: 8 changes (revision 5)", 0),
        ("power.switch_on was done", 1),
        ("converged", 2),
    ]
    held = ("phase", "held", "converged", "held", "broken fan")
    assert short(story(*old, held)) == [("alice: apply: 8 changes (revision 5)", 0), ("held", 1)]
    assert story() == []


def test_of_discoveries_that_failed_the_last_is_told_while_it_matters() -> None:
    lines = [
        ("phase", "waiting", "converged", "waiting", "for power.read to answer"),
        ("discovery", "power.read", "", "BMC 10.1.4.12 does not answer", "check the cable"),
        (
            "discovery",
            "power.read",
            "...",
            "BMC 10.1.4.12 refused the credentials",
            "kedge secret set",
        ),
    ]
    (link,) = story(*lines)
    assert link.words == "power.read failed: BMC 10.1.4.12 refused the credentials"
    assert link.why == "kedge secret set"
    done = ("phase", "converged", "waiting", "converged", "discovered is as configured")
    assert [link.words for link in story(*lines, done)] == [
        "alice: apply: 8 changes (revision 5)", "converged",
    ]  # fmt: skip


def test_what_is_unknown_since_the_agent_is_silent_follows_from_its_silence() -> None:
    silence = [
        ("phase", "converged", "moving", "converged", "discovered is as configured"),
        ("agent", "silent", "", "", "nothing heard for 35 s"),
        ("observed", "boot.stage", "running", "unknown", "agent"),
        ("observed", "image.running", "wanted", "unknown", "agent"),
    ]
    links = story(
        *silence,
        ("phase", "waiting", "converged", "waiting", "to hear of boot.stage"),
        (
            "step",
            "power.switch_off",
            "",
            "started",
            "power.state=off, as image.running is none, ...",
        ),
    )
    assert short(links) == [("its agent is silent", 0), ("power.switch_off began", 1)]
    assert links[0].why == "nothing heard for 35 s"
    # a silence that nothing follows from is no part of the story, unless it lasts
    assert "its agent is silent" not in [link.words for link in story(*silence)]
    waits = ("phase", "waiting", "converged", "waiting", "to hear of boot.stage")
    assert short(story(*silence, waits)) == [("its agent is silent", 0)]


def test_a_value_that_was_lost_without_a_silence_is_told_by_itself() -> None:
    *_, link = story(
        ("phase", "converged", "moving", "converged", "discovered is as configured"),
        ("observed", "boot.stage", "running", "unknown", "bmc"),
    )
    assert link.words == "boot.stage was running and can no longer be told"
