"""The ``kedge`` command: nouns and verbs, one file per noun."""
