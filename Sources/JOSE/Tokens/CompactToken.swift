import Bytes
import JSON

/// A JWT taken apart (RFC 7515, section 7.1; RFC 7519): well-formed, and nothing more. Nobody has verified it.
struct CompactToken {
    /// Header.
    let header: JWSHeader
    /// Claims.
    let claims: JSONObject
    /// What the signature is over.
    let signingInput: [UInt8]
    /// The signature; not empty.
    let signature: [UInt8]

    /// Most bytes of a token: twice what the largest providers send, and what HTTP servers take in one field.
    static let sizeLimit = 16 << 10
    /// How deep and how large JSON in tokens may be.
    private static let limits = JSONLimits(maximumBytes: sizeLimit, maximumDepth: 16, maximumValues: 2000)

    /// Takes a token apart.
    init(_ text: String, limit: Int = sizeLimit) throws(Refusal) {
        let bytes = Array(text.utf8)
        let parts = try Self.parts(of: bytes, limit: limit)
        let header = try Self.object(bytes[parts[0]], "header", else: .malformedHeader)
        self.header = try JWSHeader(header)
        claims = try Self.object(bytes[parts[1]], "claims", else: .malformedClaims)
        guard !parts[2].isEmpty else { throw Refusal(.missingSignature, "the third part is empty") }
        guard let signature = Self.decode(bytes[parts[2]]) else {
            throw Refusal(.badBase64, "the signature is not base64url without padding")
        }
        self.signature = signature
        signingInput = Array(bytes[..<parts[1].upperBound])
    }

    /// Where the three parts are.
    static func parts(of bytes: [UInt8], limit: Int = sizeLimit) throws(Refusal) -> [Range<Int>] {
        guard bytes.count <= limit else {
            throw Refusal(.tokenTooLarge, "\(bytes.count) bytes; \(limit) are the most")
        }
        guard bytes.first != UInt8(ascii: "{") else {
            throw Refusal(.jsonSerialization, "it begins with a brace")
        }
        var parts: [Range<Int>] = []
        var start = 0
        for (place, byte) in bytes.enumerated() where byte == UInt8(ascii: ".") {
            parts.append(start..<place)
            start = place + 1
        }
        parts.append(start..<bytes.count)
        if parts.count == 5 { throw Refusal(.encryptedToken, "it has five parts, as a JWE has") }
        guard parts.count == 3 else { throw Refusal(.malformedToken, "it has \(parts.count) parts, not three") }
        return parts
    }

    /// The JSON object in one part.
    static func object(
        _ text: ArraySlice<UInt8>, _ name: String, else reason: AuthenticationReason
    ) throws(Refusal) -> JSONObject {
        guard let decoded = decode(text) else {
            throw Refusal(.badBase64, "the \(name) is not base64url without padding")
        }
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(decoded, limits: limits)
        } catch {
            // The error's own words could repeat what stands in the token.
            if error.code == .duplicateKey { throw Refusal(.duplicateMember, "in the \(name), byte \(error.column)") }
            throw Refusal(reason, "the \(name) is no JSON: \(error.code.rawValue) at \(error.position)")
        }
        guard let object = value.object else { throw Refusal(reason, "the \(name) is \(value.typeName)") }
        return object
    }

    private static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        text.withUnsafeBytes { Base64URL.decode($0) }
    }
}
