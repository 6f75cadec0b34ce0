"""At the master: who owns which group, what each sub-master is told, and what comes up from them."""
