import Bytes
import JSON

/// What a token is bound to: `cnf` (RFC 7800) with `jkt` (RFC 9449, section 6.1) or `x5t#S256` (RFC 8705, section 3.1).
///
/// Any other member could be a binding that is not checked here, so it leads to a refusal.
struct Confirmation {
    /// JWK thumbprint of the DPoP key.
    let dpop: String?
    /// SHA-256 of the client's certificate.
    let certificate: [UInt8]?

    /// Reads `cnf`; without it, bound to nothing.
    init(_ value: JSONValue?) throws(Refusal) {
        guard let value else {
            dpop = nil
            certificate = nil
            return
        }
        guard let object = value.object, !object.isEmpty else {
            throw Refusal(.badConfirmation, "cnf is \(value.typeName) or empty")
        }
        var dpop: String?
        var certificate: [UInt8]?
        for member in object {
            switch member.key {
            case "jkt": dpop = Base64URL.encode(try Self.hash(member))
            case "x5t#S256": certificate = try Self.hash(member)
            default: throw Refusal(.unsupportedConfirmation, "cnf holds something else than jkt and x5t#S256")
            }
        }
        self.dpop = dpop
        self.certificate = certificate
    }

    private static func hash(_ member: JSONObject.Member) throws(Refusal) -> [UInt8] {
        guard let text = member.value.string, let bytes = Base64URL.decode(text), bytes.count == 32 else {
            throw Refusal(.badConfirmation, "cnf.\(member.key) is not the base64url of 32 bytes")
        }
        return bytes
    }

    /// As the result has it.
    var binding: Authenticated.Binding {
        switch (dpop, certificate.map { Base64URL.encode($0) }) {
        case (nil, nil): .bearer
        case (let dpop?, nil): .dpop(thumbprint: dpop)
        case (nil, let certificate?): .certificate(thumbprint: certificate)
        case (let dpop?, let certificate?): .dpopAndCertificate(dpop: dpop, certificate: certificate)
        }
    }
}
