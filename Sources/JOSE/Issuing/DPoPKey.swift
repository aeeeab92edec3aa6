import Bytes
import JSON
public import PKI

/// A client's key for DPoP proofs (RFC 9449, section 4.2).
public struct DPoPKey: Sendable {
    /// The public key; its thumbprint stands in `cnf.jkt` of the tokens that are bound to it.
    public let publicKey: JWK

    private let key: PrivateKey
    private let algorithm: JWSAlgorithm

    /// How many random bytes a proof takes for its `jti`.
    public static let randomBytes = 16

    /// A key from a private key of any kind that can sign.
    ///
    /// Errors: `unsupported_key`.
    public init(_ key: PrivateKey) throws(JOSEError) {
        guard let algorithm = JWSAlgorithm(signingWith: key.kind) else {
            throw JOSEError(
                .unsupportedKey, "a key of the kind \(key.kind) cannot make proofs", hint: "use P-256 or Ed25519")
        }
        self.key = key
        self.algorithm = algorithm
        publicKey = try JWK(key.publicKey)
    }

    /// Makes a proof for one request.
    ///
    /// - Parameters:
    ///   - url: The request's URL; query and fragment are left out.
    ///   - token: The access token, for `ath`; nil for a request to an authorisation server.
    ///   - nonce: The last `DPoP-Nonce` of the server.
    ///   - now: Unix seconds.
    ///   - random: `randomBytes` random bytes, for `jti`.
    ///
    /// Errors: `bad_value` for an URL that is none, `library_failure`.
    public func proof(
        method: String, url: String, token: String?, nonce: String? = nil, at now: Int64, random: [UInt8]
    ) throws(JOSEError) -> String {
        guard TargetURL(url) != nil else {
            throw JOSEError(.badValue, "this is no URL: \(url)", hint: "give it in full: https://edge.example/path")
        }
        var claims: JSONObject = [
            "jti": .string(Base64URL.encode(random)), "htm": .string(method),
            "htu": .string(String(url.prefix { $0 != "?" && $0 != "#" })), "iat": .integer(now),
        ]
        if let token { claims["ath"] = .string(Hash.thumbprint(token)) }
        if let nonce { claims["nonce"] = .string(nonce) }
        let parameters = key.publicKey.parameters.map { JWK.required($0) } ?? [:]
        return try TokenSigning.sign(
            claims, header: ["typ": "dpop+jwt", "jwk": .object(parameters)], algorithm: algorithm, key: key)
    }
}
