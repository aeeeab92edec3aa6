/// What the holder of a token signs: this request on this connection, nothing else.
///
/// The exporter (RFC 8446, section 7.5) is a value that only the two ends of this TLS connection have. Whoever ends the TLS
/// of a client that believes him has another one towards the CA, so a signature cannot be passed on.
public enum EnrolmentProof {
    /// The label of the TLS exporter.
    public static let exporterLabel = "EXPORTER-conduit-mesh-join"
    /// Bytes of the exporter.
    public static let exporterBytes = 32
    private static let context = Array("conduit-mesh join v1\0".utf8)

    /// The message: a context of its own, the connection, the request.
    public static func message(exporter: [UInt8], request der: [UInt8]) -> [UInt8] {
        context + exporter + Secret.sha256(der)
    }
}
