public import JSON

/// What stands in a token, without trusting it, and what is wrong with it: for people who look for a mistake. Says nothing
/// about whether somebody should be let in; that is ``Authenticator``.
public struct TokenInspection: Sendable {
    /// Something about the token that matters.
    public struct Finding: Sendable, Equatable {
        /// The reason with which the edge would refuse it; nil for a remark.
        public let reason: AuthenticationReason?
        /// What was found.
        public let text: String
    }

    /// The header, where it can be decoded.
    public let header: JSONValue?
    /// The claims, where they can be decoded.
    public let claims: JSONValue?
    /// What is wrong, the form first.
    public let findings: [Finding]
    /// Whether its signature was verified with a key that was given; nil when none was.
    public let isSignatureGood: Bool?

    /// Whether anything is wrong.
    public var isFaulty: Bool { findings.contains { $0.reason != nil } }
    /// `iss`, as the token claims it.
    public var issuer: String? { claims?["iss"]?.string }
    /// `sub`, as the token claims it.
    public var subject: String? { claims?["sub"]?.string }
    /// `jti`, as the token claims it.
    public var tokenID: String? { claims?["jti"]?.string }
    /// `exp`, as the token claims it, unix seconds; nil where it is none.
    public var expiry: Int64? { claims?.object.flatMap { try? Claims.time($0, "exp", rounded: .up) } }

    /// Looks into a token or a DPoP proof.
    ///
    /// - Parameters:
    ///   - now: Unix seconds.
    ///   - audiences: Whom it should be for; empty when that is not to be checked.
    ///   - keys: Keys to verify its signature with.
    public init(_ text: String, at now: Int64, audiences: [String] = [], keys: KeySet? = nil) {
        let bytes = Array(text.utf8)
        var findings: [Finding] = []
        var header: JSONObject?
        var claims: JSONObject?
        var token: CompactToken?
        Self.note(&findings) { () throws(Refusal) in
            let parts = try CompactToken.parts(of: bytes)
            // Each part by itself: a bad header does not hide the claims.
            header = try? CompactToken.object(bytes[parts[0]], "header", else: .malformedHeader)
            claims = try? CompactToken.object(bytes[parts[1]], "claims", else: .malformedClaims)
            token = try CompactToken(text)
        }
        self.header = header.map { .object($0) }
        self.claims = claims.map { .object($0) }
        let isProof = token?.header.type == "dpop+jwt"
        if isProof {
            findings.append(Finding(reason: nil, text: "a DPoP proof, to be sent with an access token"))
        } else if let claims {
            Self.check(claims, token, at: now, audiences, &findings)
        }
        Self.remark(header, &findings)
        var isGood: Bool?
        if let token, let keys, !isProof {
            isGood = false
            Self.note(&findings) { () throws(Refusal) in
                try Self.issuer(named: "inspected", ["any"], .set(keys))?.verify(token)
                isGood = true
            }
        }
        isSignatureGood = isGood
        self.findings = findings
    }

    private static func check(
        _ object: JSONObject, _ token: CompactToken?, at now: Int64, _ audiences: [String],
        _ findings: inout [Finding]
    ) {
        note(&findings) { () throws(Refusal) in
            guard object["iss"]?.string != nil else { throw Refusal(.missingIssuer, "no iss that is a text") }
        }
        if let type = token?.header.type, type != "jwt", type != "at+jwt" {
            findings.append(Finding(reason: .wrongType, text: "typ is neither JWT nor at+jwt"))
        }
        note(&findings) { () throws(Refusal) in
            let claims = try Claims(object)
            try issuer(named: "inspected", audiences.isEmpty ? claims.audiences : audiences, .pending)?
                .check(claims, at: now)
        }
    }

    private static func issuer(
        named name: String, _ audiences: [String], _ keys: TrustedIssuer.Keys
    ) -> TrustedIssuer? {
        try? TrustedIssuer(name: name, audiences: audiences, keys: keys, leeway: 0)
    }

    private static func remark(_ header: JSONObject?, _ findings: inout [Finding]) {
        for member in ["jku", "x5u", "x5c", "jwk"] where header?[member] != nil {
            if member == "jwk", header?["typ"]?.string?.lowercased() == "dpop+jwt" { continue }
            findings.append(
                Finding(reason: nil, text: "the header has \(member), which is never used to verify a token"))
        }
        if let name = header?["alg"]?.string, JWSAlgorithm(rawValue: name)?.isSymmetric ?? false {
            findings.append(
                Finding(reason: nil, text: "\(name) needs a shared secret, configured for this issuer (secretFile)"))
        }
    }

    private static func note(_ findings: inout [Finding], _ body: () throws(Refusal) -> Void) {
        do throws(Refusal) {
            try body()
        } catch {
            findings.append(Finding(reason: error.reason, text: "\(error.reason.text) (\(error.detail))"))
        }
    }
}
