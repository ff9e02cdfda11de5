"""Whether an extractor may be used: it must rank corrupted images by severity, and a faster path must agree with it."""
