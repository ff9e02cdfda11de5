"""Jobs of an executor: which attempts are made, where each delivers its result, and what a resumed run finds again."""
