extension Configuration {
    /// Where the passphrase of a private key is; one of the three, or none for a key that is not encrypted.
    public struct PassphraseSource: Sendable, Equatable {
        /// File whose first line it is.
        public var file: String?
        /// Environment variable that holds it.
        public var variable: String?
        /// Name of the systemd credential that holds it.
        public var credential: String?

        /// No passphrase.
        public init() {}

        /// Whether there is one.
        public var isGiven: Bool { file != nil || variable != nil || credential != nil }

        /// The last parts of the keys that are set, in the order of the documentation.
        var given: [String] {
            [("passphraseFile", file), ("passphraseVariable", variable), ("passphraseCredential", credential)]
                .filter { $0.1 != nil }.map(\.0)
        }
    }
}
