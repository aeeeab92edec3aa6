import Bytes
import JSON
import PKI

/// A local issuer of tokens with an Ed25519 key, for development and small teams. Immutable; holds the private key.
public struct TokenIssuer: Sendable {
    /// `iss` of its tokens.
    public let name: String
    /// Its public key, with `kid`.
    public let publicKey: JWK

    private let key: PrivateKey

    /// Claims that are the issuer's own affair.
    static let reserved: Set<String> = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "scope"]
    /// How many random bytes a token takes for its `jti`.
    public static let randomBytes = 16
    /// Longest life of a token, in seconds: ten years.
    public static let lifetimeLimit: Int64 = 3650 * 86_400

    /// Makes an issuer with a new key.
    ///
    /// Errors: `bad_issuer_name`, `library_failure`.
    public static func make(name: String) throws(JOSEError) -> TokenIssuer {
        let key: PrivateKey
        do throws(CertificateError) {
            key = try PrivateKey.generate(.ed25519)
        } catch {
            throw JOSEError(.libraryFailure, error.message, hint: error.hint)
        }
        return try TokenIssuer(name: name, key: key)
    }

    /// Reads the text of an issuer's file, which `fileText` made.
    ///
    /// Errors: `malformed_file`, `unknown_version`, `unsupported_key`, `bad_issuer_name`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        let object = try OwnFile.object(text, "the issuer's file", sizeLimit: 64 << 10)
        do {
            try object.requireOnly(["version", "issuer", "privateKey"])
            var pem = Array(try object.string("privateKey").utf8)
            defer { pem.wipe() }
            try self.init(name: object.string("issuer"), key: PrivateKey(pem: pem))
        } catch {
            throw OwnFile.widen(error, "the issuer's file")
        }
    }

    private init(name: String, key: PrivateKey) throws(JOSEError) {
        guard key.kind.family == .ed25519 else {
            throw JOSEError(
                .unsupportedKey, "the issuer's key is \(key.kind), not Ed25519", hint: "make one: mesh token init")
        }
        guard TrustedIssuer.isName(name) else {
            throw JOSEError(
                .badIssuerName, "\"\(name)\" cannot be an issuer",
                hint: "use up to \(TrustedIssuer.nameLimit) visible ASCII characters: https://tokens.example")
        }
        self.name = name
        self.key = key
        let plain = try JWK(key.publicKey)
        publicKey = try JWK(key.publicKey, keyID: plain.thumbprint, algorithm: .edDSA)
    }

    /// The text of its file. Holds the private key: mode 0600, and the caller wipes its copy.
    ///
    /// Errors: `library_failure`.
    public func fileText() throws(JOSEError) -> [UInt8] {
        do throws(CertificateError) {
            let object: JSONObject = [
                "version": .integer(OwnFile.version), "issuer": .string(name),
                "privateKey": .string(String(decoding: try key.pem(), as: UTF8.self)),
            ]
            return JSONValue.object(object).serialized(pretty: true) + [UInt8(ascii: "\n")]
        } catch {
            throw JOSEError(.libraryFailure, error.message, hint: error.hint)
        }
    }

    /// Its key set, for ``TrustedIssuer`` and to be served (`json`).
    public var keySet: KeySet {
        get throws(JOSEError) { try KeySet([publicKey]) }
    }

    /// Makes a token.
    ///
    /// - Parameter random: `randomBytes` random bytes, for `jti`.
    ///
    /// Errors: `bad_value`, `missing_audience`, `out_of_range`, `library_failure`.
    public func issue(_ request: TokenRequest, at now: Int64, random: [UInt8]) throws(JOSEError) -> String {
        try check(request)
        let audience: JSONValue =
            request.audiences.count == 1 ? .string(request.audiences[0]) : JSONValue(request.audiences)
        var claims: JSONObject = [
            "iss": .string(name), "sub": .string(request.subject), "aud": audience, "iat": .integer(now),
            "exp": .integer(now + request.lifetime), "jti": .string(Base64URL.encode(random)),
        ]
        if !request.scopes.isEmpty { claims["scope"] = .string(request.scopes.joined(separator: " ")) }
        var confirmation = JSONObject()
        if let thumbprint = request.dpopThumbprint { confirmation["jkt"] = .string(thumbprint) }
        if let thumbprint = request.certificateThumbprint {
            confirmation["x5t#S256"] = .string(Base64URL.encode(thumbprint))
        }
        if !confirmation.isEmpty { claims["cnf"] = .object(confirmation) }
        for member in request.claims { claims[member.key] = member.value }
        let token = try TokenSigning.sign(
            claims, header: ["typ": "at+jwt", "kid": .string(publicKey.keyID ?? "")], algorithm: .edDSA, key: key)
        guard token.utf8.count <= CompactToken.sizeLimit else {
            throw JOSEError(
                .badValue, "the token would have \(token.utf8.count) bytes; \(CompactToken.sizeLimit) are the most",
                hint: "leave out some claims")
        }
        return token
    }

    private func check(_ request: TokenRequest) throws(JOSEError) {
        guard !request.audiences.isEmpty, !request.audiences.contains("") else {
            throw JOSEError(.missingAudience, "a token needs an audience", hint: "name the edge's: --audience NAME")
        }
        guard (1...Self.lifetimeLimit).contains(request.lifetime) else {
            throw JOSEError(
                .outOfRange, "a token cannot count for \(request.lifetime) s", hint: "use one second to ten years")
        }
        if let claim = request.claims.keys.first(where: { Self.reserved.contains($0) }) {
            throw JOSEError(
                .badValue, "the claim \(claim) is set by the issuer", hint: "use the option that is meant for it")
        }
        guard request.scopes.allSatisfy(Claims.isScope) else {
            throw JOSEError(.badValue, "a scope has characters it cannot have", hint: "give one scope each, no blanks")
        }
        let claims: JSONObject = ["exp": 1, "aud": "a", "sub": .string(request.subject)]
        do throws(Refusal) {
            _ = try Claims(claims)
        } catch {
            throw JOSEError(
                .badValue, "the subject is empty, too long or has control characters",
                hint: "use up to \(Claims.subjectLimit) bytes")
        }
    }
}
