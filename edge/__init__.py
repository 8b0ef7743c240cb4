"""What guards the service before a request is one. ``serve.py`` runs uvicorn with it."""
