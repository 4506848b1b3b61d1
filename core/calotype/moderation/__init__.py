"""What is taken and what is given out: words, reviews of plugins, pictures that were blocked."""
