import PKI

/// An issuer whose tokens are accepted, with everything that its tokens are checked against.
public struct TrustedIssuer: Sendable {
    /// What an issuer's tokens are verified with. Never both: a public key must not be taken for a secret (RFC 8725).
    public enum Keys: Sendable {
        /// Public keys.
        case set(KeySet)
        /// Public keys that have not been fetched yet: tokens are answered with `keys_unavailable` (503).
        case pending
        /// A shared secret: HS256, HS384, HS512 only.
        case secret(SharedSecret)
    }

    /// Whether tokens are bound to a DPoP key. A token with `cnf` needs its proof in every mode.
    public enum DPoPMode: String, Sendable, CaseIterable {
        /// Tokens bound to a DPoP key are refused, since proofs are not checked here.
        case off
        /// Bound tokens and bearer tokens are accepted.
        case optional
        /// Only bound tokens are accepted.
        case required
    }

    /// The issuer: `iss`, compared byte by byte.
    public let name: String
    /// Whom its tokens must be for; one of them must be in `aud`.
    public let audiences: [String]
    /// What it verifies with.
    public let keys: Keys
    /// The algorithms that are accepted.
    public let algorithms: Set<JWSAlgorithm>
    /// How far clocks may be apart, in seconds.
    public let leeway: Int64
    /// Longest time from `iat` (from now, without `iat`) to `exp`, in seconds; nil for any.
    public let maximumLifetime: Int64?
    /// Which claim becomes which attribute. A claim that begins with `/` is a JSON pointer (RFC 6901) into the claims:
    /// `/realm_access/roles`.
    public let claims: [String: String]
    /// What is wanted of DPoP.
    public let dpop: DPoPMode
    /// `claims`, checked.
    let mappings: [ClaimMapping]

    /// Most characters of an issuer's name; with a subject it has to fit a principal's 1024.
    public static let nameLimit = 255
    /// Largest leeway, in seconds: more would make expiry meaningless.
    public static let leewayLimit: Int64 = 300

    /// An issuer from its parts.
    ///
    /// - Parameter algorithms: Nil for all that go with the keys: every asymmetric one, or every HS that the secret is
    ///   long enough for.
    ///
    /// Errors: `bad_issuer_name`, `missing_audience`, `bad_algorithms`, `weak_secret`, `out_of_range`, `bad_value`.
    public init(
        name: String, audiences: [String], keys: Keys, algorithms: Set<JWSAlgorithm>? = nil, leeway: Int64 = 30,
        maximumLifetime: Int64? = nil, claims: [String: String] = [:], dpop: DPoPMode = .optional
    ) throws(JOSEError) {
        guard Self.isName(name) else {
            throw JOSEError(
                .badIssuerName, "\"\(name)\" cannot be an issuer",
                hint: "an issuer has 1 to \(Self.nameLimit) visible ASCII characters without *; "
                    + "copy it from the iss of a token: mesh token inspect FILE")
        }
        guard !audiences.isEmpty, !audiences.contains("") else {
            throw JOSEError(
                .missingAudience, "the issuer \(name) has no audience",
                hint: "name what its tokens have in aud for this edge")
        }
        guard (0...Self.leewayLimit).contains(leeway), maximumLifetime ?? 1 > 0 else {
            throw JOSEError(
                .outOfRange, "the leeway or lifetime of \(name) is out of range",
                hint: "a leeway has 0 to \(Self.leewayLimit) seconds, a lifetime more than none")
        }
        self.name = name
        self.audiences = audiences
        self.keys = keys
        self.algorithms = try Self.algorithms(algorithms, keys, name)
        self.leeway = leeway
        self.maximumLifetime = maximumLifetime
        self.claims = claims
        self.dpop = dpop
        var mappings: [ClaimMapping] = []
        for (claim, attribute) in claims.sorted(by: { $0.key < $1.key }) {
            guard let mapping = ClaimMapping(claim: claim, attribute: attribute) else {
                throw JOSEError(
                    .badValue, "the claim \"\(claim)\" cannot become the attribute \"\(attribute)\"",
                    hint: "attributes have up to 64 letters, digits, dots, hyphens and underscores")
            }
            mappings.append(mapping)
        }
        self.mappings = mappings
    }

    static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= nameLimit
            && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "*") }
    }

    private static func algorithms(
        _ asked: Set<JWSAlgorithm>?, _ keys: Keys, _ name: String
    ) throws(JOSEError) -> Set<JWSAlgorithm> {
        guard case .secret(let secret) = keys else {
            let algorithms = asked ?? JWSAlgorithm.asymmetric
            guard !algorithms.isEmpty, algorithms.isSubset(of: JWSAlgorithm.asymmetric) else {
                throw JOSEError(
                    .badAlgorithms, "the issuer \(name) has public keys, and algorithms that are not for them",
                    hint: "leave algorithms out, or name some of RS256 to ES512, EdDSA")
            }
            return algorithms
        }
        let possible = Set(JWSAlgorithm.allCases.filter { $0.mac.map { $0.bytes <= secret.count } ?? false })
        let algorithms = asked ?? possible
        guard !algorithms.isEmpty, algorithms.allSatisfy(\.isSymmetric) else {
            throw JOSEError(
                .badAlgorithms, "the issuer \(name) has a shared secret, and algorithms that are not for it",
                hint: "leave algorithms out, or name some of HS256, HS384, HS512")
        }
        guard algorithms.isSubset(of: possible) else {
            throw JOSEError(
                .weakSecret, "the secret of \(name) is shorter than the hash of an algorithm it is for",
                hint: "HS384 needs 48 bytes, HS512 needs 64 (RFC 7518, section 3.2)")
        }
        return algorithms
    }

    private init(_ other: TrustedIssuer, keys: KeySet) {
        name = other.name
        audiences = other.audiences
        self.keys = .set(keys)
        algorithms = other.algorithms
        leeway = other.leeway
        maximumLifetime = other.maximumLifetime
        claims = other.claims
        dpop = other.dpop
        mappings = other.mappings
    }

    /// The same with other public keys; nil for an issuer that has a secret.
    func replacing(keys: KeySet) -> TrustedIssuer? {
        if case .secret = self.keys { return nil }
        return TrustedIssuer(self, keys: keys)
    }
}
