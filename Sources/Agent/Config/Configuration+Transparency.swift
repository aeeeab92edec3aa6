extension Configuration {
    /// What is demanded of the SCTs (RFC 6962) of servers that this node dials.
    public struct Transparency: Sendable, Equatable {
        /// What too few good ones do at nodes without an entry of their own.
        public var mode = TransparencyMode.off
        /// The list of logs that count.
        public var logs: String?
        /// How many different logs must vouch for a certificate.
        public var minimum = 1
        /// Exceptions.
        public var nodes: [TransparencyOfNode] = []
    }

    /// What holds for one node.
    public struct TransparencyOfNode: Sendable, Equatable {
        /// The node that is dialled.
        public var node = ""
        /// What too few good SCTs do.
        public var mode = TransparencyMode.require

        /// A rule for nobody, to be filled in.
        public init() {}
    }

    /// What too few good SCTs do.
    public enum TransparencyMode: String, Sendable, CaseIterable {
        /// Nobody looks at them.
        case off
        /// They are logged and counted.
        case report
        /// The handshake fails.
        case require
    }
}
