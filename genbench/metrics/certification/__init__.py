"""Validating an extractor: it must rank corrupted images by severity, and a fast path must agree with the exact one."""
