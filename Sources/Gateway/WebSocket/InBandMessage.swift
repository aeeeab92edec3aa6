/// The messages of `conduit.auth.v1`.
public enum InBandMessage {
    /// Reads the payload of a message for the edge.
    static func parse(_ payload: [UInt8]) throws(EdgeRefusal) -> PresentedCredential {
        guard let text = String(validating: payload, as: UTF8.self) else { throw malformed }
        let words = Text.split(text, at: 0x20)
        guard 3...4 ~= words.count, words.dropFirst(2).allSatisfy({ isWord($0) }) else { throw malformed }
        if Text.equal(words[1], "key"), words.count == 3 {
            return PresentedCredential(kind: .apiKey, secret: String(words[2]), source: .message)
        }
        guard Text.equal(words[1], "token") else { throw malformed }
        let proof = words.count == 4 ? String(words[3]) : nil
        return PresentedCredential(
            kind: proof == nil ? .bearer : .dpop, secret: String(words[2]), proof: proof, source: .message)
    }

    private static func isWord(_ word: Substring) -> Bool {
        (try? CredentialReader.token68(String(word), "a message")) != nil
    }

    private static var malformed: EdgeRefusal {
        EdgeRefusal(
            .authenticationMalformed, status: 400, "the message must be: conduit.auth.v1 token TOKEN [PROOF]")
    }

    /// The answer to a credential that was accepted.
    ///
    /// - Parameters:
    ///   - expires: Unix time in seconds; nil: never.
    ///   - connection: the connection's id, a token.
    ///   - selected: after a first message the subprotocol that the service selected.
    public static func accepted(expires: Int64?, connection: String, selected: String? = nil) -> String {
        let expires = expires.map(String.init) ?? "never"
        return "conduit.auth.v1 ok \(expires) \(connection)\(selected.map { " \($0)" } ?? "")"
    }

    /// The answer to a credential that was not accepted.
    public static func refused(_ reason: String, nonce: String? = nil) -> String {
        "conduit.auth.v1 error \(reason)\(nonce.map { " \($0)" } ?? "")"
    }

    /// That a renewal is due.
    public static func expiring(seconds: Int) -> String { "conduit.auth.v1 expires \(seconds)" }
}
