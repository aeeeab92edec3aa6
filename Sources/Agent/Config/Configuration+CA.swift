extension Configuration {
    /// The mesh's CA, on the node that serves it.
    public struct CA: Sendable, Equatable {
        /// PEM file: the CA that issues, then those above it up to the root; nil where this node is no CA.
        public var certificate: String?
        /// PEM file: its key.
        public var key: String?
        /// Where the key's passphrase is.
        public var passphrase = PassphraseSource()
        /// Where nodes ask for certificates.
        public var listen: Address?
        /// The address that stands in join tokens; the loader fills in `listen` where that is a single address.
        public var advertise: Address?
        /// How long a node's certificate is valid.
        public var ttl: Duration = .seconds(86_400)
        /// For so long after its end a certificate can still be renewed.
        public var renewExpiredFor: Duration = .seconds(7 * 86_400)
        /// The CA's database; empty stands for the default until the loader resolves it.
        public var store = ""

        /// Whether this node serves the CA.
        public var isServed: Bool { certificate != nil }
    }

    /// How the node gets its first certificate.
    public struct Join: Sendable, Equatable {
        /// File with a join token; read when there is no certificate yet.
        public var tokenFile: String?
        /// How long the CA is waited for at the first start.
        public var patience: Duration = .seconds(60)
    }

    /// How the node's certificate is renewed.
    public struct Renewal: Sendable, Equatable {
        /// Whether the agent renews it by itself.
        public var enabled = true
        /// Where the CA listens; nil means where the node has joined.
        public var address: Address?
        /// How long the CA may be away: so much validity is kept in hand; nil means half of it.
        public var caAbsence: Duration?
        /// How often the files are looked at besides when the kernel tells of a change.
        public var pollInterval: Duration = .seconds(3600)
    }
}
