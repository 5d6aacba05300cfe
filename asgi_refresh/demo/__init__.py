"""
A page on which to watch sessions: `python -m asgi_refresh.demo`.
"""
