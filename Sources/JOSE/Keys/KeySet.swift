public import JSON
import PKI

/// A set of public keys of one issuer (JWKS, RFC 7517, section 5). Immutable.
public struct KeySet: Sendable {
    /// Most bytes of a key set's text. Sets of large providers have about 20 KiB.
    public static let sizeLimit = 256 << 10
    /// Most keys of a set, used or not.
    public static let countLimit = 100

    /// A key that is in the set and not used.
    public struct LeftOut: Sendable, Equatable {
        /// Its `kid`.
        public let keyID: String?
        /// Why.
        public let problem: JWKProblem
    }

    /// The keys that verify.
    public let keys: [JWK]
    /// The others.
    public let leftOut: [LeftOut]

    /// A set of keys of our own.
    ///
    /// Errors: `duplicate_key_id`, `no_usable_key`.
    public init(_ keys: [JWK]) throws(JOSEError) {
        try self.init(keys: keys, leftOut: [])
    }

    /// Reads a key set.
    ///
    /// Refused as a whole: what is malformed or ambiguous, or shows that secrets were published. Keys that are merely of
    /// no use here (another `use`, an unknown type or curve, too weak, no point of their curve) are left out and
    /// remembered with their reason, so that a token that names one is told why.
    ///
    /// Errors: `malformed_key_set`, `key_set_too_large`, `duplicate_key_id`, `private_key_in_set`,
    /// `symmetric_key_in_set`, `no_usable_key`.
    public init(reading text: [UInt8]) throws(JOSEError) {
        guard text.count <= Self.sizeLimit else {
            throw Self.tooLarge("the key set has \(text.count) bytes; \(Self.sizeLimit) are the most")
        }
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(text, limits: JSONLimits(maximumDepth: 16, maximumValues: 10_000))
        } catch {
            throw Self.malformed("the key set is no JSON: \(error)")
        }
        guard let elements = value["keys"]?.array else {
            throw Self.malformed("the key set is no object with an array \"keys\"")
        }
        guard elements.count <= Self.countLimit else {
            throw Self.tooLarge("the set has \(elements.count) keys; \(Self.countLimit) are the most")
        }
        var keys: [JWK] = []
        var leftOut: [LeftOut] = []
        for (place, element) in elements.enumerated() {
            guard let object = element.object else { throw Self.malformed("keys[\(place)] is \(element.typeName)") }
            do throws(JWKProblem) {
                keys.append(try JWK(reading: object))
            } catch {
                if let refusal = Self.refusal(of: error, at: place) { throw refusal }
                leftOut.append(LeftOut(keyID: object["kid"]?.string, problem: error))
            }
        }
        try self.init(keys: keys, leftOut: leftOut)
    }

    private init(keys: [JWK], leftOut: [LeftOut]) throws(JOSEError) {
        var seen: Set<String> = []
        for keyID in keys.compactMap(\.keyID) + leftOut.compactMap(\.keyID) where !seen.insert(keyID).inserted {
            throw JOSEError(
                .duplicateKeyID, "two keys of the set have one kid", hint: "the issuer has to give each key its own")
        }
        guard !keys.isEmpty else {
            let why = leftOut.first.map { ": \($0.problem.detail)" } ?? ""
            throw JOSEError(
                .noUsableKey, "no key of the set can be used\(why)",
                hint: "the set needs a signing key: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519")
        }
        self.keys = keys
        self.leftOut = leftOut
    }

    /// The key for a signature.
    ///
    /// With `kid`, the key that has it. Without, the one that fits, if there is only one: nothing is tried in turn.
    func key(_ keyID: String?, for algorithm: JWSAlgorithm) throws(Refusal) -> JWK {
        if let keyID {
            if let key = keys.first(where: { $0.keyID?.hasSameBytes(as: keyID) ?? false }) {
                if let reason = key.objection(to: algorithm) {
                    throw Refusal(reason, "\(algorithm.rawValue) with a key of the kind \(key.key.kind)")
                }
                return key
            }
            if let other = leftOut.first(where: { $0.keyID?.hasSameBytes(as: keyID) ?? false }) {
                throw Refusal(other.problem.tokenReason, other.problem.detail)
            }
            throw Refusal(.unknownKey, "the issuer's key set has no such kid")
        }
        let fitting = keys.filter { $0.objection(to: algorithm) == nil }
        guard fitting.count <= 1 else {
            throw Refusal(.missingKeyID, "no kid, and \(fitting.count) keys are for \(algorithm.rawValue)")
        }
        guard let key = fitting.first else {
            throw Refusal(.wrongKeyType, "no kid, and no key of the set is for \(algorithm.rawValue)")
        }
        return key
    }

    /// The usable keys as JSON, to be served.
    public var json: JSONValue { ["keys": .array(keys.map(\.json))] }

    private static func refusal(of problem: JWKProblem, at place: Int) -> JOSEError? {
        switch problem.reason {
        case .privateKey:
            JOSEError(
                .privateKeyInSet, "keys[\(place)] is a private key: everybody who read the set can make tokens",
                hint: "the issuer has to replace this key and publish public keys only")
        case .symmetricKey:
            JOSEError(
                .symmetricKeyInSet, "keys[\(place)] is a symmetric key in a set that is public",
                hint: "configure a shared secret by its file (secretFile); the issuer has to replace this one")
        case .malformed, .badBase64, .badKeyID: malformed("keys[\(place)]: \(problem.detail)")
        default: nil
        }
    }

    private static func malformed(_ what: String) -> JOSEError {
        JOSEError(.malformedKeySet, what, hint: "check the file or URL; it has to be a JWK set (RFC 7517, section 5)")
    }

    private static func tooLarge(_ what: String) -> JOSEError {
        JOSEError(.keySetTooLarge, what, hint: "check the file or URL; key sets have a few KiB")
    }
}
