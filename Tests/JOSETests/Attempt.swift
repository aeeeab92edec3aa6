import Bytes
import CSodium
import JOSE
import JSON
import PKI

/// One request of a client with everything around it: valid as it is made. A negative case changes one thing.
struct Attempt {
    /// What is presented.
    enum Base: String, CaseIterable {
        case bearer
        case dpop
        case certificate
        case apiKey
    }

    static let now: Int64 = 1_800_000_000
    static let issuer = "https://issuer.example"
    static let audience = "https://edge.example"
    static let url = "https://edge.example/api/orders"
    static let certificate = [UInt8](repeating: 7, count: 32)
    static let nonceSecret = Passphrase(bytes: [UInt8](repeating: 3, count: 32))

    var token: Draft
    var proof: Draft
    /// Whether `proof`'s `ath` follows the token.
    var binds = true
    var credentials: ClientCredentials
    var configuration: Authenticator.Configuration
    /// The issuer's key set; put into the configuration when the attempt is made.
    var keys: [JSONObject]
    var keySetText: String?
    var issuerKeys: TrustedIssuer.Keys?
    var algorithms: Set<JWSAlgorithm>?
    var leeway: Int64 = 0
    var maximumLifetime: Int64?
    var claims = ["groups": "groups", "scope": "scopes", "/realm/roles": "roles"]
    var dpop = TrustedIssuer.DPoPMode.optional
    var now = Attempt.now
    var replays = ReplayCache()
    /// What stands in `Authorization` before the token.
    var scheme: String
    /// Changes the credentials at last, the token in them.
    var present: (inout ClientCredentials, _ token: String, _ proof: String) -> Void
    /// How often it is made; the last result counts.
    var times = 1
    var apiKey = ""

    /// A valid attempt.
    init(_ base: Base, _ all: Keys) throws {
        let now = Attempt.now
        token = Draft(
            header: ["alg": "ES256", "kid": "ec", "typ": "at+jwt"],
            claims: [
                "iss": .string(Self.issuer), "sub": "alice", "aud": .string(Self.audience), "exp": .integer(now + 600),
                "nbf": .integer(now - 10), "iat": .integer(now - 10), "jti": "token-1", "scope": "read write",
                "groups": ["staff", "ops"], "realm": ["roles": ["admin"]],
            ], signer: .key(all.p256, .ecdsa(.sha256)))
        let nonces = try DPoPNonces(
            secret: Self.nonceSecret, instance: .init(repeating: 1, count: 16), startedAt: now - 1000)
        proof = Draft(
            header: ["typ": "dpop+jwt", "alg": "ES256", "jwk": .object(try all.proof.jwk())],
            claims: [
                "jti": "proof-1", "htm": "GET", "htu": .string(Self.url), "iat": .integer(now - 1),
                "nonce": .string(nonces.make(at: now - 5)),
            ], signer: .key(all.proof, .ecdsa(.sha256)))
        credentials = ClientCredentials(method: "GET", url: Self.url)
        var store = APIKeyStore(random: .init(repeating: 9, count: 32))
        apiKey =
            try store.add(
                name: "ci", attributes: ["groups": ["robots"]], scopes: ["read"], expiresAt: now + 100, at: now - 100,
                random: Array(0..<40)
            ).key
        configuration = Authenticator.Configuration(
            apiKeys: store, dpop: DPoPSettings(nonces: nonces, startedAt: now - 1000))
        keys = [
            try all.p256.jwk(["kid": "ec", "alg": "ES256", "use": "sig"]), try all.p384.jwk(["kid": "ec384"]),
            try all.p521.jwk(["kid": "ec521"]), try all.rsa.jwk(["kid": "rsa"]),
            try all.otherRSA.jwk(["kid": "rsa-rs256", "alg": "RS256"]), try all.ed25519.jwk(["kid": "ed"]),
        ]
        scheme = "Bearer"
        present = { credentials, token, _ in credentials.authorization = ["Bearer " + token] }
        switch base {
        case .bearer: break
        case .dpop:
            let thumbprint = try JWK(reading: all.proof.jwk()).thumbprint
            token.claims["cnf"] = ["jkt": .string(thumbprint)]
            present = { credentials, token, proof in
                credentials.authorization = ["DPoP " + token]
                credentials.dpop = [proof]
            }
        case .certificate:
            token.claims["cnf"] = ["x5t#S256": .string(Base64URL.encode(Self.certificate))]
            credentials.certificateThumbprint = Self.certificate
        case .apiKey:
            let apiKey = apiKey
            present = { credentials, _, _ in credentials.authorization = ["Bearer " + apiKey] }
        }
    }

    /// Another key for the token.
    mutating func sign(_ kid: String, _ alg: String, _ signer: Signer) {
        token.header["kid"] = .string(kid)
        token.header["alg"] = .string(alg)
        token.signer = signer
    }

    /// The issuer shares a secret instead of having public keys.
    mutating func share(_ secret: [UInt8], _ alg: String, _ digest: DigestAlgorithm) throws {
        issuerKeys = .secret(try SharedSecret(secret))
        token.header["kid"] = nil
        token.header["alg"] = .string(alg)
        token.signer = .hmac(digest, secret)
    }

    func authenticator() throws -> Authenticator {
        let text = keySetText ?? JSONValue.object(["keys": .array(keys.map { .object($0) })]).text()
        let source = try issuerKeys ?? .set(KeySet(reading: Array(text.utf8)))
        var configuration = configuration
        configuration.issuers = [
            try TrustedIssuer(
                name: Self.issuer, audiences: [Self.audience, "second"], keys: source, algorithms: algorithms,
                leeway: leeway, maximumLifetime: maximumLifetime, claims: claims, dpop: dpop)
        ]
        return try Authenticator(configuration)
    }

    /// Makes it.
    func result() throws -> Result<Authenticated, AuthenticationFailure> {
        let authenticator = try authenticator()
        let text = try token.text()
        var proof = proof
        if binds {
            let hash = sha256(Array(text.utf8))
            proof.claims["ath"] = .string(Base64URL.encode(hash))
        }
        var credentials = credentials
        present(&credentials, text, try proof.text())
        var replays = replays
        var result: Result<Authenticated, AuthenticationFailure>?
        for _ in 0..<times {
            result = authenticator.authenticate(credentials, at: now) { replays.remember($0, at: now) }
        }
        return result ?? .failure(AuthenticationFailure(reason: .missingToken, detail: "never made"))
    }

    /// `accepted`, or the reason: that of the answer, or `jwks:…` when the key set was refused.
    func outcome() throws -> String {
        do {
            switch try result() {
            case .success: return "accepted"
            case .failure(let failure): return failure.reason.rawValue
            }
        } catch let error as JOSEError {
            return "jwks:\(error.reason.rawValue)"
        }
    }
}

/// One change away from a valid attempt, and the reason it has to be refused with.
struct NegativeCase {
    typealias Change = (inout Attempt, Keys) throws -> Void

    let name: String
    let base: Attempt.Base
    let reason: String
    let change: Change
}

/// The negative cases.
struct NegativeTable {
    private(set) var cases: [NegativeCase] = []

    mutating func add(
        _ name: String, _ reason: AuthenticationReason, _ base: Attempt.Base = .bearer,
        _ change: @escaping NegativeCase.Change
    ) {
        cases.append(NegativeCase(name: name, base: base, reason: reason.rawValue, change: change))
    }

    /// A key set that is refused as a whole.
    mutating func add(set name: String, _ reason: JOSEReason, _ change: @escaping NegativeCase.Change) {
        cases.append(NegativeCase(name: name, base: .bearer, reason: "jwks:\(reason.rawValue)", change: change))
    }
}

/// SHA-256.
func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var hash = [UInt8](repeating: 0, count: 32)
    crypto_hash_sha256(&hash, bytes, UInt64(bytes.count))
    return hash
}
