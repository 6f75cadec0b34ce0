"""How the frozen releases in ``fixtures`` were made; only ever run for a new format.

.venv/bin/python tests/unit/rollout/make_fixture.py > tests/unit/rollout/fixtures/release-FORMAT.json
"""

import json

from kedge.rollout.release import Release

FILES = {"profiles.yaml": "\nprofiles:\n  compute: { image.wanted: r.example/c:1 }\n", "motd": "hi"}
IMAGES = {"r.example/c:1": {"x86_64": "sha256:" + "ab" * 32}}
MADE = Release("2026.11", FILES, IMAGES, {"slurm": "22.05"}, "c0ffee", "alice", 1.5e9, "0.1.0")

if __name__ == "__main__":
    print(json.dumps(MADE.as_record(), indent=1, sort_keys=True))
