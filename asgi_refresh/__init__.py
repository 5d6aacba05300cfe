"""Keep a browser signed in, safely, without anyone noticing."""
