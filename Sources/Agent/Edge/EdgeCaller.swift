import Gateway
import JOSE
import PKI
import Policy

/// Who makes a request, as far as it was proven.
struct EdgeCaller: Sendable {
    /// As whom streams are opened.
    var acting: ActingAs
    /// The principal's name: `jwt:ISSUER/SUBJECT`, `key:ID`, `node:NAME`, `anonymous`.
    let name: String
    /// What a token or API key proved; nil without one.
    var authenticated: Authenticated?
    /// The common name of the client's certificate, if it has one.
    let commonName: String?
    /// When the certificate ends by which the client came (unix seconds); nil without one.
    var certificateEnd: Int64?

    /// When what was proven does not count any more (unix seconds): the token's end or the certificate's, whichever comes first;
    /// nil where neither ends.
    var expiry: Int64? { [authenticated?.expiry, certificateEnd].compactMap { $0 }.min() }

    /// The name of whoever proved nothing.
    static let anonymousName = "anonymous"

    /// Somebody who was not asked.
    static func anonymous(commonName: String?) -> EdgeCaller {
        EdgeCaller(acting: .node, name: anonymousName, authenticated: nil, commonName: commonName)
    }

    /// Whether anything was proven.
    var isPrincipal: Bool { name != Self.anonymousName }
}
