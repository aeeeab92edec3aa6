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

    /// Somebody who was not asked.
    static func anonymous(commonName: String?) -> EdgeCaller {
        EdgeCaller(acting: .node, name: "anonymous", authenticated: nil, commonName: commonName)
    }

    /// Whether anything was proven.
    var isPrincipal: Bool { name != "anonymous" }
}
