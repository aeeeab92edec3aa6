import Bytes
import HTTP

/// Client-Cert and Client-Cert-Chain (RFC 9440): DER as structured byte sequences.
enum ClientCertFields {
    /// Largest certificate accepted, in DER.
    static let maximumSize = 16_384
    /// Most certificates accepted in the chain.
    static let maximumChain = 10

    static func certificate(_ headers: HTTPHeaders) throws(EdgeRefusal) -> [UInt8]? {
        let values = headers.values("Client-Cert")
        guard let value = values.first else { return nil }
        guard values.count == 1, let der = byteSequence(value[...]) else { throw malformed }
        return der
    }

    static func chain(_ headers: HTTPHeaders) throws(EdgeRefusal) -> [[UInt8]] {
        var chain: [[UInt8]] = []
        for line in headers.values("Client-Cert-Chain") {
            for element in Text.split(line, at: 0x2C) {
                guard let der = byteSequence(Text.trimmed(element)), chain.count < maximumChain else {
                    throw malformed
                }
                chain.append(der)
            }
        }
        return chain
    }

    /// `:base64:` (RFC 8941, 3.3.5), not empty.
    private static func byteSequence(_ text: Substring) -> [UInt8]? {
        guard text.utf8.count > 2, text.utf8.first == 0x3A, text.utf8.last == 0x3A,
            let der = Base64.decode(String(text.dropFirst().dropLast())), der.count <= maximumSize
        else { return nil }
        return der
    }

    private static var malformed: EdgeRefusal {
        EdgeRefusal(
            .badClientCertField, status: 400, "Client-Cert must be one certificate as :base64:, as RFC 9440 has it",
            hint: "mend the configuration of the proxy that sent the field")
    }
}
