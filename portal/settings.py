"""Settings of the portal; each one that an operator may change is described in docs/settings.md."""

from datetime import timedelta
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from portal import env as read
from portal.env import BASE_DIR, env

# Forms and admin classes name their model in type hints; Django's own classes don't take it at run time yet.
django_stubs_ext.monkeypatch()

PORTAL_MODE = read.mode()
DEMO = PORTAL_MODE == "demo"
DEBUG = False

VAR = read.folder("PORTAL_VAR", BASE_DIR / "var")
PORT = read.port("PORT", 8000)
APPS_PORT = read.port("APPS_PORT", 8080)
PORTAL_URL = read.url("PORTAL_URL", f"http://localhost:{PORT}")
APPS_DOMAIN = env.str("APPS_DOMAIN", "apps.localhost")
SECURE = PORTAL_URL.startswith("https://")
if not DEMO and not SECURE:
    raise ImproperlyConfigured("PORTAL_URL must begin with https:// in production.")

SECRET_KEY = read.secret("SECRET_KEY", VAR, DEMO)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ENCRYPTION_KEYS = read.encryption_keys(VAR, DEMO)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[urlsplit(PORTAL_URL).hostname])
if DEMO:
    ALLOWED_HOSTS += ["127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [PORTAL_URL]
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])

INSTALLED_APPS = [
    "portal.apps.PortalConfig",
    "portal.apps.PortalAdminConfig",
    "accounts",
    "environments",
    "deployments",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "django_otp",
    "django_htmx",
    "axes",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "portal.middleware.ClientAddress",
    "environments.api_middleware.KeysOnly",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "accounts.middleware.SignedIn",
    "django.contrib.messages.middleware.MessageMiddleware",
    "portal.middleware.PlainAddress",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.Person",
    "environments.middleware.BodyLimit",
    "django.middleware.csrf.CsrfViewMiddleware",
    "environments.middleware.Gate",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.frame",
            ],
            "builtins": ["portal.templatetags.portal", "accounts.templatetags.accounts"],
        },
    }
]

DATABASES = {"default": env.db_url("DATABASE_URL", f"sqlite:///{VAR / 'portal.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # SECURITY: without IMMEDIATE, parallel requests die with "database is locked" instead of waiting their turn
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
# Opening SQLite anew for each request costs a fifth of a page (make bench)
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
# NIST SP 800-63B-4, 3.1.1.2: a password that is the only factor has 15 characters or more and no composition rules
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "email")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 15}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = int(timedelta(hours=1).total_seconds())
LOGIN_URL = "accounts:sign_in"
LOGIN_REDIRECT_URL = "environments:apps"

AXES_USERNAME_FORM_FIELD = "username"
AXES_FAILURE_LIMIT = 10
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_HANDLER = "accounts.people.Attempts"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_DISABLE_ACCESS_LOG = True
AXES_CLIENT_IP_CALLABLE = "portal.middleware.client_address"
AXES_LOCKOUT_CALLABLE = "accounts.views.locked_out"
AXES_VERBOSE = False

# A promise, not a guess: the window is eight hours (seed, chapter 3) and the sign-in lasts at least as long
PRODUCTION_WINDOW = timedelta(hours=8)
SIGN_IN_LASTS = timedelta(hours=24)
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_AGE = int(SIGN_IN_LASTS.total_seconds())
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_NAME = "__Host-session" if SECURE else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE else "csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "portal.errors.csrf_failure"
ENROLMENT_MAIL_CODE = env.bool("ENROLMENT_MAIL_CODE", not DEMO)
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
OTP_TOTP_ISSUER = env.str("AUTHENTICATOR_ISSUER", "Developer Portal")

SECURE_SSL_REDIRECT = SECURE
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}

# A form is small; only what is declared as an upload may be larger, and only for those who may upload
FORM_MAX_BYTES = 256 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = FORM_MAX_BYTES
FILE_UPLOAD_HANDLERS = ["deployments.uploads.ReservingUploadHandler"]
FILE_UPLOAD_TEMP_DIR = VAR / "uploads"
PACKAGE_MAX_BYTES = env.int("PACKAGE_MAX_BYTES", 2 * 1024**3)
PACKAGE_MAX_ENTRIES = env.int("PACKAGE_MAX_ENTRIES", 50_000)
PACKAGE_MAX_UNPACKED_BYTES = env.int("PACKAGE_MAX_UNPACKED_BYTES", 8 * 1024**3)
PACKAGE_MAX_RATIO = env.int("PACKAGE_MAX_RATIO", 100)
PACKAGE_MAX_DEPTH = env.int("PACKAGE_MAX_DEPTH", 32)
BACKUP_MAX_ENTRIES = env.int("BACKUP_MAX_ENTRIES", 1_000_000)
PACKAGE_KEPT_DAYS = env.int("PACKAGE_KEPT_DAYS", 15)
NIGHTLY_AT = read.time_of_day("NIGHTLY_AT", "02:00")
LOG_KEPT_DAYS = env.int("LOG_KEPT_DAYS", 183)
LOG_MAX_BYTES = env.int("LOG_MAX_BYTES", 1024**3)
DISK_RESERVE_BYTES = env.int("DISK_RESERVE_BYTES", 256 * 1024**2)

API_CALLS_PER_MINUTE = env.int("API_CALLS_PER_MINUTE", 1200)
API_WRONG_KEYS_PER_MINUTE = env.int("API_WRONG_KEYS_PER_MINUTE", 60)

BIND = env.str("BIND", "localhost")
WEB_WORKERS = env.int("WEB_WORKERS", 2)
WEB_THREADS = env.int("WEB_THREADS", 8)
RUNTIME = "deployments.runtimes.process.ProcessRuntime"
# Where the portal runs as root, each environment's processes get this user number plus the environment's own
APPS_FIRST_USER = env.int("APPS_FIRST_USER", 1_900_000_000)
# A PostgreSQL server on which each environment gets a database of its own, as a role that may make them
ENVIRONMENT_DATABASE_URL = read.database_server("ENVIRONMENT_DATABASE_URL")
APP_MEMORY_BYTES = env.int("APP_MEMORY_BYTES", 2 * 1024**3)
WORKER_ALIVE = "deployments.worker.is_alive"
KEYS_FIT = "accounts.keys.fit"
ACCEPT_WEAK_ISOLATION = env.bool("ACCEPT_WEAK_ISOLATION", False)
HEALTH_PATIENCE = env.int("HEALTH_PATIENCE", 60)
HEALTH_EVERY = env.int("HEALTH_EVERY", 15)
HEALTH_SLOW = env.float("HEALTH_SLOW", 2.0)
STOP_GRACE = env.int("STOP_GRACE", 10)
EVENT_PATIENCE = env.int("EVENT_PATIENCE", 3600)
DRAIN_SECONDS = env.int("DRAIN_SECONDS", 30)
APP_CREATION = env.str("APP_CREATION", "everyone")
if APP_CREATION not in ("everyone", "staff"):
    raise ImproperlyConfigured(f"APP_CREATION is '{APP_CREATION}'. Use 'everyone' or 'staff'.")

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR / "storage"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
MEDIA_ROOT = VAR / "storage"
FILE_UPLOAD_PERMISSIONS = 0o600
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Developer Portal <portal@localhost>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
SUPPORT_EMAIL = env.str("SUPPORT_EMAIL", "support@localhost")
if DEMO and not env.str("EMAIL_URL", ""):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = VAR / "mail"
else:
    vars().update(env.email_url("EMAIL_URL", "smtp://localhost:25"))

LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "portal.logs.Line", "fmt": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"axes": {"level": "ERROR"}},
}
