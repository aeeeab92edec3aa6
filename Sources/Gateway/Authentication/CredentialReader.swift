public import HTTP

/// Finds the credential of a request.
public struct CredentialReader: Sendable, Hashable {
    /// Whether `access_token` in the query counts (RFC 6750, 2.3). Off unless somebody cannot do without: URLs get into
    /// logs and histories.
    public var readsQuery: Bool

    /// A reader.
    public init(readsQuery: Bool = false) { self.readsQuery = readsQuery }

    /// The one credential of a request; nil where there is none.
    ///
    /// - Parameters:
    ///   - head: the request.
    ///   - upgrade: its WebSocket handshake, if it is one, read with `readsToken`.
    ///
    /// More than one credential, in whatever places and even if equal, is refused (`multiple_credentials`): who checked
    /// one and passed the other on would authorise something else than what arrives. Known schemes in a wrong form are
    /// refused (`malformed_credential`). Other schemes of Authorization (Basic, Negotiate …) are not the edge's: no
    /// credential, and the field is passed on.
    public func read(
        _ head: HTTPRequestHead, upgrade: WebSocketUpgrade? = nil
    ) throws(EdgeRefusal) -> PresentedCredential? {
        var found: [PresentedCredential] = []
        let fields = head.headers.values("Authorization")
        if fields.count > 1 { throw PresentedCredential.several }
        if let field = fields.first, let credential = try Self.authorization(field) { found.append(credential) }
        for key in head.headers.values("X-API-Key") {
            found.append(
                PresentedCredential(kind: .apiKey, secret: try Self.token68(key, "X-API-Key"), source: .apiKeyField))
        }
        if let token = upgrade?.token {
            found.append(PresentedCredential(kind: .bearer, secret: token, source: .subprotocol))
        }
        if readsQuery, let query = head.query { found += try Self.query(query) }
        if found.count > 1 { throw PresentedCredential.several }
        guard var credential = found.first else { return nil }
        let proofs = head.headers.values("DPoP")
        if proofs.count > 1 { throw PresentedCredential.malformed("DPoP may be sent only once") }
        if credential.kind == .dpop || credential.kind == .bearer { credential.proof = proofs.first }
        return credential
    }

    /// `scheme SP token68` for the schemes that are the edge's (RFC 9110, 11.6.2).
    private static func authorization(_ field: String) throws(EdgeRefusal) -> PresentedCredential? {
        let parts = Text.split(field, at: 0x20, most: 1)
        let kind: PresentedCredential.Kind
        switch Text.lowercased(parts[0]) {
        case "bearer": kind = .bearer
        case "dpop": kind = .dpop
        case "apikey": kind = .apiKey
        default: return nil
        }
        guard parts.count == 2 else {
            throw PresentedCredential.malformed("Authorization must be: \(parts[0]), one blank, the token")
        }
        let secret = try token68(String(Text.trimmed(parts[1])), "Authorization")
        return PresentedCredential(kind: kind, secret: secret, source: .authorization)
    }

    /// Letters, digits and `-._~+/`, then "=" (RFC 9110, 11.2). Anything else, a comma above all, could be read as two.
    static func token68(_ text: String, _ place: String) throws(EdgeRefusal) -> String {
        let body = text.utf8.prefix { $0 != 0x3D }
        guard !body.isEmpty, body.allSatisfy({ Text.isAlphanumeric($0) || "-._~+/".utf8.contains($0) }),
            text.utf8.dropFirst(body.count).allSatisfy({ $0 == 0x3D })
        else {
            throw PresentedCredential.malformed("\(place) must be a token of letters, digits and -._~+/")
        }
        return text
    }

    /// The `access_token` parameters, whatever their spelling, each with the query without any of them.
    private static func query(_ query: String) throws(EdgeRefusal) -> [PresentedCredential] {
        var tokens: [String] = []
        var rest: [Substring] = []
        for pair in Text.split(query, at: 0x26) {
            let parts = Text.split(pair, at: 0x3D, most: 1)
            guard let name = QueryText.decoded(parts[0]), name.elementsEqual("access_token".utf8) else {
                rest.append(pair)
                continue
            }
            guard parts.count == 2, let value = QueryText.decoded(parts[1]) else {
                throw PresentedCredential.malformed("access_token in the query is not escaped correctly")
            }
            tokens.append(try token68(String(decoding: value, as: UTF8.self), "access_token"))
        }
        let left = rest.isEmpty ? nil : rest.joined(separator: "&")
        return tokens.map { PresentedCredential(kind: .bearer, secret: $0, source: .query(rest: left)) }
    }
}

/// Escapes in queries, where "+" is a blank.
enum QueryText {
    /// Nil where an escape is broken.
    static func decoded(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            if byte == 0x2B {
                bytes.append(0x20)
            } else if byte == 0x25 {
                guard let high = iterator.next().flatMap(Text.hexValue),
                    let low = iterator.next().flatMap(Text.hexValue)
                else { return nil }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }
}
