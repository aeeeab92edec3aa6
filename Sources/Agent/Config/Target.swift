public import TLS

extension Configuration {
    /// How a service's target is spoken to.
    public enum TargetScheme: String, Sendable, CaseIterable {
        /// Bytes as they are; written without a scheme.
        case tcp
        /// HTTP over TLS.
        case https
        /// WebSocket over TLS.
        case wss
        /// Any bytes over TLS.
        case tls

        /// The port where none is written; `tls` has none.
        var defaultPort: UInt16? { self == .https || self == .wss ? 443 : nil }
    }

    /// Where a service of this node accepts connections, and whether TLS is spoken there.
    public struct Target: Sendable, Hashable {
        /// How it is spoken to.
        public var scheme: TargetScheme
        /// Where it is.
        public var address: Address
        /// The host as it was written, by which certificates know it; nil without TLS.
        public var host: String?

        /// A target without TLS.
        public init(_ address: Address) {
            scheme = .tcp
            self.address = address
        }

        private init(scheme: TargetScheme, address: Address, host: String) {
            self.scheme = scheme
            self.address = address
            self.host = host
        }

        /// Stands for "not given yet" in elements that are being filled in.
        static let unset = Target(.unset)

        /// Whether TLS is spoken there.
        public var isTLS: Bool { scheme != .tcp }

        /// Reads an address, or `https://HOST[:PORT]`, `wss://HOST[:PORT]`, `tls://HOST:PORT`.
        init(parsing text: String) throws(Address.ParseError) {
            guard let mark = text.firstRange(of: "://") else {
                self.init(try Address(parsing: text))
                return
            }
            let name = text[..<mark.lowerBound].lowercased()
            guard let scheme = TargetScheme(rawValue: name), scheme != .tcp else {
                throw Address.ParseError(
                    message: "\"\(name)\" is no scheme of a target",
                    hint: name == "http" || name == "ws" || name == "tcp"
                        ? "without TLS write HOST:PORT alone" : "write https://, wss:// or tls://, or HOST:PORT alone")
            }
            var rest = String(text[mark.upperBound...])
            if rest.hasSuffix("/") { rest.removeLast() }
            guard !rest.contains(where: { "/?#@".contains($0) }) else {
                throw Address.ParseError(
                    message: "a target is a host and a port",
                    hint: "write \(name)://HOST:PORT; paths are the affair of whoever sends requests")
            }
            let hasPort = rest.hasSuffix("]") == false && rest.contains(":")
            if !hasPort {
                guard let port = scheme.defaultPort else {
                    throw Address.ParseError(message: "has no port", hint: "write \(name)://HOST:PORT")
                }
                rest += ":\(port)"
            }
            let address = try Address(parsing: rest)
            guard address.port != nil else {
                throw Address.ParseError(
                    message: "TLS to a Unix socket is not spoken", hint: "write unix:PATH alone, or HOST:PORT")
            }
            let colon = rest.lastIndex(of: ":") ?? rest.endIndex
            let written = rest[..<colon].lowercased()
            let host = written == "localhost" ? written : address.host ?? written
            self.init(scheme: scheme, address: address, host: host)
        }
    }
}

extension Configuration.Target: CustomStringConvertible {
    /// The form that is parsed.
    public var description: String {
        guard isTLS, let host, let port = address.port else { return address.description }
        return "\(scheme.rawValue)://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
}

extension Configuration {
    /// What happens where a server staples no OCSP response to its certificate, or one that says nothing of it.
    public enum StapleMode: String, Sendable, CaseIterable {
        /// It passes, unless its certificate demands one.
        case soft
        /// It is refused.
        case hard
    }

    /// How TLS is spoken to a target.
    public struct TargetTLS: Sendable, Equatable {
        /// PEM files with the CA certificates that vouch for the target; empty means the system's.
        public var ca: [String] = []
        /// The name that its certificate must have, and that it is asked for (SNI); nil means the target's host.
        public var serverName: String?
        /// PEM file: our certificate for the target, with its intermediates.
        public var certificate: String?
        /// PEM file: its private key.
        public var key: String?
        /// Where the key's passphrase is.
        public var passphrase = PassphraseSource()

        /// What may be negotiated: the loader takes it from `tls.profile`.
        public var profile = TLSProfile.intermediate

        /// Pins, one of which the chain of the target's certificate must match; empty means that none has to.
        public var pins: [String] = []
        /// What a certificate that matches none of them meets with.
        public var pinMode = PinMode.enforce
        /// CRLs of the CAs that vouch for the target.
        public var revocationFiles: [String] = []
        /// What happens where none is up to date.
        public var revocationMode = RevocationMode.soft
        /// What happens where the target staples no OCSP response.
        public var staple = StapleMode.soft

        /// What too few good SCTs of the target do.
        public var transparency = TransparencyMode.off
        /// The list of logs: the loader takes it from `tls.ct.logs`.
        public var transparencyLogs: String?
        /// How many of them must vouch: the loader takes it from `tls.ct.minimum`.
        public var transparencyMinimum = 1

        /// Nothing said.
        public init() {}
    }
}
