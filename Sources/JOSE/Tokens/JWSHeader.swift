import JSON

/// The protected header of a compact JWS, checked for form (RFC 7515, section 4). Nothing in it is trusted: `jku`, `x5u`,
/// `x5c` and `x5t` are never looked at, `jwk` by DPoP proofs only.
struct JWSHeader {
    /// `alg`.
    let algorithm: JWSAlgorithm
    /// `kid`.
    let keyID: String?
    /// `typ` in lower case, without `application/`.
    let type: String?
    /// `jwk`.
    let key: JSONValue?

    /// Checks the members.
    init(_ object: JSONObject) throws(Refusal) {
        if object["enc"] != nil { throw Refusal(.encryptedToken, "the header has enc") }
        // Before alg: a critical extension may change what alg means.
        if let value = object["crit"] { throw Self.critical(value, object) }
        if object["b64"] != nil { throw Refusal(.unencodedPayload, "the header has b64") }
        if object["zip"] != nil { throw Refusal(.malformedHeader, "the header has zip, which is for JWE") }
        algorithm = try Self.algorithm(object["alg"])
        keyID = try Self.keyID(object["kid"])
        type = try Self.mediaType(object, "typ")
        if try Self.mediaType(object, "cty") == "jwt" { throw Refusal(.nestedToken, "cty is JWT") }
        key = object["jwk"]
    }

    private static func algorithm(_ value: JSONValue?) throws(Refusal) -> JWSAlgorithm {
        guard let value else { throw Refusal(.missingAlgorithm, "the header has no alg") }
        guard let name = value.string else { throw Refusal(.malformedHeader, "alg is \(value.typeName)") }
        if name.lowercased() == "none" { throw Refusal(.unsecuredToken, "alg is none") }
        guard let algorithm = JWSAlgorithm(rawValue: name) else {
            throw Refusal(.unsupportedAlgorithm, "alg is none of those that are known")
        }
        return algorithm
    }

    private static func keyID(_ value: JSONValue?) throws(Refusal) -> String? {
        guard let value else { return nil }
        guard let keyID = value.string, !keyID.isEmpty, keyID.utf8.count <= JWK.keyIDLimit else {
            throw Refusal(.badKeyID, "kid is \(value.typeName) or has a bad length")
        }
        return keyID
    }

    private static func mediaType(_ object: JSONObject, _ member: String) throws(Refusal) -> String? {
        guard let value = object[member] else { return nil }
        guard let text = value.string?.lowercased() else {
            throw Refusal(.malformedHeader, "\(member) is \(value.typeName)")
        }
        // RFC 7515, section 4.1.9: "application/" may be left out where no other slash is.
        let prefix = "application/"
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
    }

    /// No critical extension is known here, so each leads to a refusal; which one tells what is wrong.
    private static func critical(_ value: JSONValue, _ object: JSONObject) -> Refusal {
        if value.array?.contains("b64") ?? false, object["b64"] != nil {
            return Refusal(.unencodedPayload, "the header has b64")
        }
        return Refusal(.unsupportedCritical, "the header has crit, and no critical extension is known")
    }
}
