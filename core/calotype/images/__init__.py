"""Pictures as files: where they are stored, what comes in, what is written into them."""
