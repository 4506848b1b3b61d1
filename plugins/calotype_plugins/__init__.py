"""Bundled plugins: each a small module behind the same entry points as a stranger's."""
