"""Runs on nodes, in layer0's Python: how many people's sessions are open, as systemd-logind knows them."""

# pyright: basic


def observe(here):
    """Sessions of users (not of services), as long as they are not closing."""
    folder = here.root / "run/systemd/sessions"
    if not folder.is_dir():
        return {"scheduler.sessions": None}
    count = 0
    for session in folder.iterdir():
        if session.suffix == ".ref":
            continue
        try:
            lines = session.read_text().splitlines()
        except OSError:
            continue
        told = dict(line.split("=", 1) for line in lines if "=" in line)
        count += told.get("CLASS") == "user" and told.get("STATE") in ("active", "online")
    return {"scheduler.sessions": count}
