"""The catalogue of what the activity record can say. The label follows the actor's name."""

from django.db.models import TextChoices


class Act(TextChoices):
    SIGNED_IN = "account.signed-in", "signed in"
    SIGN_IN_REFUSED = "account.sign-in-refused", "was refused at sign-in: wrong password"
    SESSION_ENDED = "account.session-ended", "ended another of their sessions"
    SIGNED_OUT = "account.signed-out", "signed out"
    PROFILE_CHANGED = "account.changed", "changed their account"
    PASSWORD_CHANGED = "account.password-changed", "changed their password"
    RESET_LINK_SENT = "account.reset-link-sent", "was sent a link to set a new password"
    PASSWORD_RESET = "account.password-reset", "set a new password by e-mail"
    AUTHENTICATOR_SET_UP = "authenticator.set-up", "set up an authenticator"
    AUTHENTICATOR_DISABLED = "authenticator.disabled", "disabled the authenticator of"
    AUTHENTICATOR_BLOCKED = "authenticator.blocked", "had their authenticator blocked after wrong codes"
    RESET_ASKED = "authenticator.reset-asked", "asked support to disable their authenticator"
    PHONE_GONE = "authenticator.phone-gone", "had their codes refused: the phone is gone"
    RESET_REJECTED = "authenticator.reset-rejected", "rejected the request to disable the authenticator of"
    WAIT_LIFTED = "authenticator.wait-lifted", "lifted the wait after wrong codes of"
    PORTAL_BACKED_UP = "portal.backed-up", "took a backup of the portal:"
    PORTAL_RESTORED = "portal.restored", "restored the portal from the backup of"
    KEYS_ROTATED = "keys.rotated", "encrypted with the newest key:"
    PASSWORD_WRONG = "account.password-wrong", "entered a wrong password on a page that asks for it again"
    MAIL_CODE_WRONG = "code.mail-wrong", "entered a wrong code from a mail"
    CODE_WRONG = "code.wrong", "entered a wrong code"
    WINDOW_OPENED = "window.opened", "opened production access"
    WINDOW_ENDED = "window.ended", "ended production access"
    REFUSED = "access.refused", "was refused:"
    PERSON_ADDED = "person.added", "added the account of"
    ACCOUNT_MADE = "account.made", "made their account, invited by mail"
    PERSON_CHANGED = "person.changed", "changed the account of"
    PERSON_DEACTIVATED = "person.deactivated", "deactivated the account of"
    ROLE_CHANGED = "role.changed", "changed the team role"
    ROLE_DELETED = "role.deleted", "deleted the team role"
    ROLE_LOST_DEPLOYS = "role.lost-deploys", "took the deploy permission from the role of"
    APP_CREATED = "app.created", "created the app"
    APP_CHANGED = "app.changed", "changed the app"
    APP_DELETED = "app.deleted", "deleted the app"
    ENVIRONMENT_ADDED = "environment.added", "added the environment"
    ENVIRONMENT_RENAMED = "environment.renamed", "renamed the environment"
    ENVIRONMENTS_ORDERED = "environment.ordered", "changed the order of the environments"
    ENVIRONMENT_TYPE_CHANGED = "environment.type-changed", "changed the type of the environment"
    ENVIRONMENT_DELETED = "environment.deleted", "deleted the environment"
    MEMBER_JOINED = "team.joined", "added to the team:"
    MEMBER_CHANGED = "team.changed", "changed the role of"
    MEMBER_LEFT = "team.left", "removed from the team:"
    LEFT_TEAM = "team.left-by-self", "left the team"
    INVITED = "team.invited", "invited to the team:"
    INVITATION_WITHDRAWN = "team.invitation-withdrawn", "withdrew the invitation of"
    INVITATION_ACCEPTED = "team.accepted", "joined the team, invited by"
    CONTACT_OFFERED = "contact.offered", "offered the role of the Technical Contact to"
    CONTACT_WITHDRAWN = "contact.withdrawn", "withdrew the offer of the Technical Contact to"
    CONTACT_DECLINED = "contact.declined", "declined the role of the Technical Contact, offered by"
    CONTACT_ACCEPTED = "contact.accepted", "became the Technical Contact in place of"
    CONTACT_APPOINTED = "contact.appointed", "appointed as the Technical Contact:"
    ENVIRONMENT_TAGGED = "environment.tagged", "changed the tag of the environment"
    PERMISSIONS_CHANGED = "permissions.changed", "changed the node permissions of"
    PERMISSIONS_EXPORTED = "permissions.exported", "exported all permissions of"
    ACTIVITY_EXPORTED = "log.activity-exported", "downloaded the activity of"
    KEY_MADE = "key.made", "made the API key"
    KEY_REVOKED = "key.revoked", "revoked the API key"
    KEY_REFUSED = "key.refused", "had a call to the Deploy API refused:"
    PACKAGE_UPLOADED = "package.uploaded", "uploaded"
    PACKAGE_REFUSED = "package.refused", "had a package refused:"
    PACKAGE_DOWNLOADED = "package.downloaded", "downloaded"
    PACKAGE_DELETED = "package.deleted", "deleted"
    PACKAGE_EXPIRED = "package.expired", "removed"
    TRANSPORT_ASKED = "job.transport-asked", "asked to transport"
    START_ASKED = "job.start-asked", "asked to start"
    STOP_ASKED = "job.stop-asked", "asked to stop"
    RESTART_ASKED = "job.restart-asked", "asked to restart"
    ROLL_BACK_ASKED = "job.roll-back-asked", "asked to roll back"
    CLEAR_ASKED = "job.clear-asked", "asked to clear"
    BACKUP_ASKED = "job.backup-asked", "asked to back up"
    RESTORE_ASKED = "job.restore-asked", "asked to restore"
    DATA_UPLOADED = "backup.uploaded", "uploaded data to"
    BACKUP_DOWNLOADED = "backup.downloaded", "downloaded"
    BACKUP_EXPIRED = "backup.expired", "removed"
    CANCEL_ASKED = "job.cancel-asked", "asked to cancel:"
    OPTIONS_CHANGED = "options.changed", "changed the options of"
    LOG_VIEWED = "log.viewed", "looked at the log of"
    LOG_DOWNLOADED = "log.downloaded", "downloaded the log of"
    JOB_DONE = "job.done", "completed:"
    JOB_FAILED = "job.failed", "failed:"
    JOB_CANCELLED = "job.cancelled", "cancelled:"
    JOB_INTERRUPTED = "job.interrupted", "was interrupted:"


ABOUT_SIGNING_IN = (
    Act.SIGNED_IN,
    Act.SIGN_IN_REFUSED,
    Act.PASSWORD_WRONG,
    Act.SIGNED_OUT,
    Act.SESSION_ENDED,
    Act.PASSWORD_CHANGED,
    Act.RESET_LINK_SENT,
    Act.PASSWORD_RESET,
    Act.AUTHENTICATOR_SET_UP,
    Act.AUTHENTICATOR_BLOCKED,
    Act.RESET_ASKED,
    Act.PHONE_GONE,
    Act.MAIL_CODE_WRONG,
    Act.CODE_WRONG,
    Act.WINDOW_OPENED,
    Act.WINDOW_ENDED,
)
