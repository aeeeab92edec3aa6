public import TLS

extension Configuration {
    /// The audit log.
    public struct Audit: Sendable, Equatable {
        /// Whether security events are kept in it.
        public var enabled = true
        /// Where its files are; empty stands for the default until the loader resolves it.
        public var directory = ""
        /// The key that seals it; empty stands for the default until the loader resolves it.
        public var key = ""
        /// What happens while it cannot be written.
        public var onFailure = AuditFailure.open
        /// How long an event may wait for the disk before the log counts as one that cannot be written.
        public var maxDelay: Duration = .seconds(10)
        /// The size at which a file is closed and the next one begun, in bytes.
        public var maxFileSize = 16 << 20
        /// The size of all files together, in bytes, beyond which the oldest are removed.
        public var maxTotalSize = 512 << 20
        /// Unix socket of the host's syslog, which gets the events too.
        public var syslog: String?
        /// Nodes with which its newest seals are left.
        public var sealPeers: [String] = []
        /// HTTPS server that gets the events too; nil for none.
        public var webhook: String?
        /// The file with the secret that signs them.
        public var webhookSecretFile: String?
        /// PEM files with the roots of that server; empty means the system's.
        public var webhookCA: [String] = []
        /// What may be negotiated with it: the loader takes it from `tls.profile`.
        public var fetchProfile = TLSProfile.intermediate
        /// The time between two checkpoints, where there is something to seal.
        public var checkpointInterval: Duration = .seconds(60)
    }

    /// What happens while the audit log cannot be written.
    public enum AuditFailure: String, Sendable, CaseIterable {
        /// The agent goes on, and says so.
        case open
        /// It takes on nothing new until it can be written again.
        case closed
    }
}

/// The keys about the audit log.
enum AuditTable {
    static let root: [Field<Configuration>] = [
        .value(
            "audit.enabled", \.audit.enabled, .boolean,
            "Keep security events in an audit log, see `docs/audit.md`. The profile `hipaa` wants it.", effect: .restart
        ),
        .value(
            "audit.directory", \.audit.directory, .path, "Where its files are; made with mode 0700.",
            default: "audit in `node.stateDirectory`", effect: .restart),
        .value(
            "audit.key", \.audit.key, .path,
            "The key that seals it, made at the first start; best on another file system than the log. Its public half "
                + "(`.pub`) and the newest seal (`.seal`) lie beside it.",
            default: "audit.key in `node.stateDirectory`", effect: .restart),
        .value(
            "audit.onFailure", \.audit.onFailure, .choice,
            "What happens while it cannot be written: `open` goes on and says so, `closed` takes on nothing new: no streams, no "
                + "changes by the control API, no certificates.",
            effect: .restart),
        .value(
            "audit.maxDelay", \.audit.maxDelay, .duration(.milliseconds(100) ... .seconds(3600)),
            "How long an event may wait for the disk. Beyond it the log counts as one that cannot be written, also where the disk "
                + "says nothing at all.",
            effect: .restart),
        .value(
            "audit.maxFileSize", \.audit.maxFileSize, .size(64 << 10...1 << 30),
            "The size at which the next file is begun.", effect: .restart),
        .value(
            "audit.maxTotalSize", \.audit.maxTotalSize, .size(128 << 10...1 << 40),
            "The size of all files together beyond which the oldest are removed.", effect: .restart),
        .value(
            "audit.checkpointInterval", \.audit.checkpointInterval, .duration(.milliseconds(100) ... .seconds(86_400)),
            "How often it is sealed, where there is something to seal.", effect: .restart),
        .value(
            "audit.syslog", \.audit.syslog, .optional(.path),
            "Unix socket of the host's syslog, such as `/dev/log`: what is written one by one goes there as well.",
            effect: .restart),
        .value(
            "audit.sealPeers", \.audit.sealPeers, .list(.name("a node's name", "NODE"), "a list of nodes", maximum: 16),
            "Nodes with which the newest seal is left, so that an end that was cut off here is missed there (`mesh audit verify "
                + "--seals-from NODE`).", default: "none"),
        .value(
            "audit.webhook.url", \.audit.webhook, .optional(.webhookURL),
            "HTTPS server that gets the same by POST, some at a time (CloudEvents); nothing is sent anywhere else.",
            default: "none", effect: .restart),
        .value(
            "audit.webhook.secretFile", \.audit.webhookSecretFile, .optional(.path),
            "The secret of at least 32 bytes with which the events are signed; only its owner may read it.",
            default: "none", effect: .restart),
        .value(
            "audit.webhook.ca", \.audit.webhookCA, .list(.path, "a path or a list of paths", orOne: true),
            "PEM files with the CA certificates that vouch for that server.", default: "those of the system",
            effect: .restart),
    ]
}

extension Codec where Value == String {
    /// A server that events are sent to: with TLS only.
    fileprivate static var webhookURL: Codec {
        .string("a URL https://…", "URL", pattern: "^https://", maximumLength: FetchURL.maximumLength) { text in
            guard let place = FetchURL(text), place.isSecure else {
                return "it is no URL https://HOST[:PORT]/PATH without user and fragment"
            }
            return nil
        }
    }
}
