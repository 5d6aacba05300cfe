"""Bridges to what an application uses already."""
