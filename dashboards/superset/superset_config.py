"""Settings of the Superset that bin/superset starts: one process, SQLite, no cache, loopback only."""
import os

HOME = os.environ["SUPERSET_HOME"]
with open(os.path.join(HOME, "secret"), encoding="ascii") as file:
    SECRET_KEY = file.read().strip()
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.path.join(HOME, "superset.db")
CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
FILTER_STATE_CACHE_CONFIG = {"CACHE_TYPE": "SupersetMetastoreCache", "CACHE_DEFAULT_TIMEOUT": 86400}
EXPLORE_FORM_DATA_CACHE_CONFIG = {"CACHE_TYPE": "SupersetMetastoreCache", "CACHE_DEFAULT_TIMEOUT": 86400}
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
SUPERSET_WEBSERVER_ADDRESS = "127.0.0.1"
FEATURE_FLAGS = {"ESTIMATE_QUERY_COST": True}
