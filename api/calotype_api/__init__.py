"""The HTTP front end: health, OpenAI-compatible images, jobs; other front ends mount their pages on it."""
