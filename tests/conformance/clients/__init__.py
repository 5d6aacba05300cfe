"""Real clients, each with its own cookie jar, against one application by https."""
