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
        self.name = name
        self.audiences = audiences
        self.keys = keys
        self.algorithms = algorithms ?? JWSAlgorithm.asymmetric
        self.leeway = leeway
        self.maximumLifetime = maximumLifetime
        self.claims = claims
        self.dpop = dpop
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
    }

    /// The same with other public keys; nil for an issuer that has a secret.
    func replacing(keys: KeySet) -> TrustedIssuer? {
        if case .secret = self.keys { return nil }
        return TrustedIssuer(self, keys: keys)
    }
}
