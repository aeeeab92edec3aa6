import HTTP

/// What concerns one connection only (RFC 9110, 7.6.1).
enum ConnectionFields {
    /// Hop-by-hop by their definition or by custom.
    static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "proxy-authentication-info", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
    ]

    /// Fields that Connection must not name.
    static let endToEnd = [
        "host", "authorization", "cookie", "content-length", "content-type", "content-encoding", "content-range",
        "transfer-encoding", "origin", "dpop", "x-api-key", "expect", "cache-control", "range",
        "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
    ]

    /// The names in Connection.
    static func named(_ headers: HTTPHeaders) -> Set<FieldKey> {
        var names: Set<FieldKey> = []
        for option in headers.list("Connection") { names.insert(FieldKey(option)) }
        return names
    }

    /// The names in Connection; throws 400 where one of them belongs to the whole way.
    static func checkedNames(_ headers: HTTPHeaders) throws(EdgeRefusal) -> Set<FieldKey> {
        var names: Set<FieldKey> = []
        for option in headers.list("Connection") {
            var option = option
            if option.withUTF8({ FieldKind.of(UnsafeRawBufferPointer($0)) }).contains(.endToEnd) {
                throw EdgeRefusal(
                    .connectionNamesEndToEnd, status: 400,
                    "Connection names a field that is not only for this connection")
            }
            names.insert(FieldKey(option))
        }
        return names
    }
}
