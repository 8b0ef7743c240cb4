"""Django with what an API needs, in production mode, and persistent connections with prepared statements."""

import os

SECRET_KEY = os.environ["BETTER_AUTH_SECRET"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "django_api"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "CONN_MAX_AGE": None,
        "OPTIONS": {"server_side_binding": True, "prepare_threshold": 1},
    }
}
